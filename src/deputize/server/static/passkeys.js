/* Passkeys: asks the browser for one, or to make one, and sends what it says with the form. No form needs this file. */
"use strict";

(() => {
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const descriptors = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const find = async (options) => {
    const found = await navigator.credentials.get({
      publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: descriptors(options.allowCredentials) },
    });
    const { clientDataJSON, authenticatorData, signature, userHandle } = found.response;
    return said(found, {
      clientDataJSON: text(clientDataJSON),
      authenticatorData: text(authenticatorData),
      signature: text(signature),
      userHandle: userHandle ? text(userHandle) : null,
    });
  };

  const make = async (options) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: descriptors(options.excludeCredentials),
      },
    });
    return said(made, {
      clientDataJSON: text(made.response.clientDataJSON),
      attestationObject: text(made.response.attestationObject),
    });
  };

  const said = (credential, response) =>
    JSON.stringify({ id: credential.id, rawId: text(credential.rawId), type: credential.type, response });

  const able = window.PublicKeyCredential !== undefined && navigator.credentials !== undefined;
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const problem = form.querySelector("[data-problem]");
    if (!able) {
      continue;
    }
    form.hidden = false;
    for (const instead of document.querySelectorAll("[data-without]")) {
      instead.hidden = true;
    }
    form.addEventListener("submit", async (event) => {
      const field = form.elements.namedItem("credential");
      if (field.value) {
        return;
      }
      event.preventDefault();
      problem.hidden = true;
      const options = JSON.parse(form.dataset.passkey);
      try {
        field.value = await (form.dataset.does === "make" ? make : find)(options);
        form.submit();
      } catch (error) {
        problem.textContent =
          error.name === "InvalidStateError"
            ? "This device has a passkey for you already."
            : "Your browser did not use a passkey. You can try again, or use another way.";
        problem.hidden = false;
      }
    });
  }
})();
