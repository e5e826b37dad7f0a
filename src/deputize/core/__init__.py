"""The alphabet: values, rules, wire forms, ports. Nothing here knows a framework or reaches the world."""
