"""The only place that knows both ports and plugs: what is configured becomes what runs."""
