// Verifies requests with other people's libraries, and signs with them: one JSON list in, one out.
// Each item has a library, a secret, a body, and either headers (to verify) or an id and a time in seconds (to sign).
const fs = require("node:fs");

const libraries = {
  standardwebhooks: require("standardwebhooks").Webhook,
  svix: require("svix").Webhook,
};

function answer(item) {
  const Webhook = libraries[item.library];
  const options = item.secret.startsWith("whsec_") ? undefined : { format: "raw" };
  try {
    const webhook = new Webhook(item.secret, options);
    if (item.headers === undefined) {
      return { ok: true, signature: webhook.sign(item.id, new Date(item.timestamp * 1000), item.body) };
    }
    webhook.verify(item.body, item.headers);
    return { ok: true };
  } catch (error) {
    return { ok: false, error: String(error.message) };
  }
}

process.stdout.write(JSON.stringify(JSON.parse(fs.readFileSync(0, "utf8")).map(answer)));
