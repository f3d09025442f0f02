"""Verifies webhooks by the standard's own library: [{"secret", "headers", "body"}] on stdin."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

calls = json.load(sys.stdin)
for call in calls:
    webhook = Webhook(call["secret"])
    webhook.verify(call["body"], call["headers"])
    # The controls: another body, and another secret.
    for body, verifier in [
        (call["body"].replace("run", "ran"), webhook),
        (call["body"], Webhook("whsec_" + "A" * 44)),
    ]:
        try:
            verifier.verify(body, call["headers"])
        except WebhookVerificationError:
            continue
        sys.exit("a forged webhook was verified")
print("verified", len(calls))
