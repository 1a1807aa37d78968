"""Say what the `rocrate` validator finds in a crate, a line each: python validate_crate.py CRATE CACHE SEVERITY.

It runs in an environment of its own, since the validator needs another rich than the rest. Nothing is fetched: the
JSON-LD context is the one that the rocrate package carries.
"""

import sys
from importlib.resources import files

import requests
from rocrate_validator import services
from rocrate_validator.utils.http import HttpRequester


def get(self, url, **options):
    response = requests.Response()
    known = url == "https://w3id.org/ro/crate/1.1/context"
    response.status_code, response.url = 200 if known else 504, url
    response.headers["Content-Type"] = "application/ld+json"
    response._content = files("rocrate").joinpath("data/ro-crate.jsonld").read_bytes() if known else b""
    return response


HttpRequester.get = get
crate, cache, severity = sys.argv[1:]
found = services.validate(
    {
        "rocrate_uri": crate,
        "profile_identifier": "process-run-crate",
        "requirement_severity": severity,
        "offline": True,
        "cache_path": cache,
    }
)
print(f"{len(found.executed_checks)} checks")
for issue in found.get_issues():
    print(f"{issue.severity.name} {issue.check.identifier}: {issue.message}")
