"""Speaks to Shaveet as the Python back ends of 2010 did: "version": "1.1", no
id, params an array or null, and a status other than 200 taken for no answer.

    python3 client.py URL < calls.json > answers.json

calls.json is [{"method": ..., "params": [...]}, ...]. Each answer says what
came over the wire, and what such a client would have thought of it
("complaint" is null when it would have been content).
"""

import json
import sys
import urllib.error
import urllib.request

HEADERS = {
    "User-Agent": "jsonrpclib",
    "Content-Type": "application/json",
    "Accept": "application/json",
}


def post(url, body):
    request = urllib.request.Request(url, body.encode("ascii"), HEADERS)
    try:
        response = urllib.request.urlopen(request, timeout=10)
    except urllib.error.HTTPError as error:
        response = error
    with response:
        return {
            "status": response.status,
            "content_type": response.headers.get("Content-Type", ""),
            "body": response.read().decode("utf-8"),
            "transport_error": "",
        }


def complaint(answer):
    """The client's own rule: it returned None unless the status was exactly
    200, and the application then failed on None["result"]."""
    if answer["status"] != 200:
        return "no answer"
    response = json.loads(answer["body"])
    if response.get("error") is not None:
        return "request error"
    return None if "result" in response else "no result"


def main():
    answers = []
    for call in json.load(sys.stdin):
        params = call["params"] or None  # no parameters are sent as null
        sent = json.dumps({"version": "1.1", "method": call["method"], "params": params})
        answer = post(sys.argv[1], sent)
        answers.append({"sent": sent, "complaint": complaint(answer), **answer})
    json.dump(answers, sys.stdout, indent=1)


main()
