// No other page can send this header with a person's cookie: the backend answers no call without it.
const call = (path, method = "GET") => fetch(path, { method, headers: { "X-BFF": "1" } });
const at = (id) => document.getElementById(id);

at("out").onclick = async () => {
  await call("/bff/logout", "POST");
  location.reload();
};

const user = await call("/bff/user");
at(user.ok ? "out" : "in").hidden = false;
at("who").textContent = user.ok ? `You are signed in as ${(await user.json()).sub}.` : "You are not signed in.";
if (user.ok) {
  for (const name of (await (await call("/api/prescriptions")).json()).prescriptions) {
    at("list").append(Object.assign(document.createElement("li"), { textContent: name }));
  }
}
