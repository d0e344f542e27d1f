"""Signatures: what the SDK sends, that the endpoint verifies it, and that our signer makes the same."""

import json
import subprocess
from datetime import datetime, timedelta, timezone
from unittest import mock

from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_tea_openapi.utils import Utils
from darabonba.core import DaraCore

from harness import REGION, TERWAY_SIM, Case

DATE = "2026-01-02T03:04:05Z"
NONCE = "0123456789abcdef0123456789abcdef"

# What is hard to write into a URL, and what must not be written differently.
HARD = ["plain", "a b", "a+b", "a*b", "a~b", "a/b:c", "a%20b", "ü€😀", "[\"sg-sim\"]", "a=b&c=d", "'()!", "-_.~"]


def ours(request, secret):
    """What our signer makes of a request that the SDK made."""
    headers = {name.lower(): value for name, value in request.headers.items() if name.lower() != "authorization"}
    body = request.body or ""
    asked = {
        "method": request.method,
        "path": request.pathname,
        "query": request.query,
        "headers": headers,
        "body": body.decode() if isinstance(body, bytes) else body,
        "access_key_id": "sim-access-key",
        "access_key_secret": secret,
    }
    done = subprocess.run(
        [TERWAY_SIM, "cloud", "sign"], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


class Agreement(Case):
    """For the same request, date and nonce, the SDK and we sign the same text and get the same signature."""

    def captured(self, call):
        """The request that the SDK sends, and the canonical request that it signs."""
        requests, texts = [], []
        act, hash = DaraCore.do_action, Utils.hash

        def do_action(request, runtime=None):
            requests.append(request)
            return act(request, runtime)

        def hashed(raw, sign_type):
            texts.append(raw)
            return hash(raw, sign_type)

        with mock.patch.object(DaraCore, "do_action", do_action), mock.patch.object(Utils, "hash", hashed):
            with mock.patch.object(Utils, "get_timestamp", lambda: DATE):
                with mock.patch.object(Utils, "get_nonce", lambda: NONCE):
                    try:
                        call()
                    except Exception as error:
                        # The date has long gone: the endpoint says so.
                        self.assertEqual(error.code, "InvalidTimeStamp.Expired")
        return requests[-1], texts[-1].decode()

    def agree(self, call):
        request, canonical = self.captured(call)
        made = ours(request, "sim-access-key-secret")
        self.assertEqual(made["canonical_request"], canonical)
        self.assertEqual(made["authorization"], request.headers["Authorization"])
        self.assertIn(DATE, canonical)
        self.assertIn(NONCE, canonical)

    def test_every_action(self):
        for call in [
            lambda: self.create(secondary_private_ip_address_count=3, client_token="t", description="a b"),
            lambda: self.attach("eni-1"),
            lambda: self.detach("eni-1"),
            lambda: self.delete("eni-1"),
            lambda: self.describe(network_interface_id=[f"eni-{n}" for n in range(12)]),
            lambda: self.assign("eni-1", secondary_private_ip_address_count=10, client_token="t"),
            lambda: self.unassign("eni-1", private_ip_address=[f"10.0.0.{n}" for n in range(12)]),
            lambda: self.assign6("eni-1", 2),
            lambda: self.unassign6("eni-1", ["2408::1", "2408::2"]),
            lambda: self.types(instance_types=["ecs.g7.xlarge"]),
            lambda: self.groups(security_group_ids='["sg-1","sg-2"]'),
            lambda: self.vswitches(vpc_id="vpc-1", page_size=50),
            lambda: self.tables(vpc_id="vpc-1"),
            lambda: self.entries(destination_cidr_block="10.0.0.0/8", max_result=100),
            lambda: self.route("172.20.1.0/24", client_token="t"),
            lambda: self.unroute(route_entry_id="rte-1"),
        ]:
            self.agree(call)

    def test_texts_that_are_hard_to_write(self):
        for text in HARD:
            with self.subTest(text=text):
                self.agree(lambda: self.create(description=text))

    def test_keys_of_a_role(self):
        self.use(self.cloud.role("i-sim-1", access_key_secret="sim-access-key-secret"))
        request, canonical = self.captured(self.describe)
        made = ours(request, "sim-access-key-secret")
        self.assertEqual(made["canonical_request"], canonical)
        self.assertIn("x-acs-security-token:", canonical)
        self.assertEqual(made["authorization"].split("Signature=")[1], request.headers["Authorization"].split("Signature=")[1])


class Verified(Case):
    def test_the_sdk_signs_with_v3_unless_told_otherwise(self):
        for algorithm, kind in [(None, "ACS3-HMAC-SHA256"), ("v2", "HMAC-SHA1")]:
            with self.subTest(algorithm=algorithm):
                self.use(self.cloud.config(signature_algorithm=algorithm))
                sent = []
                act = DaraCore.do_action

                def do_action(request, runtime=None):
                    sent.append(request)
                    return act(request, runtime)

                with mock.patch.object(DaraCore, "do_action", do_action):
                    self.assertTrue(self.describe().request_id)
                request = sent[0]
                if algorithm is None:
                    self.assertTrue(request.headers["Authorization"].startswith(kind))
                else:
                    self.assertEqual((request.query["SignatureMethod"], request.headers.get("Authorization")), (kind, None))

    def test_texts_that_are_hard_to_write_arrive_with_either(self):
        for algorithm in [None, "v2"]:
            self.use(self.cloud.config(signature_algorithm=algorithm))
            for text in HARD:
                with self.subTest(algorithm=algorithm, text=text):
                    eni = self.create(description=text).network_interface_id
                    self.assertEqual(self.rows(network_interface_id=[eni])[0].description, text)

    def test_refusals_with_either(self):
        for algorithm in [None, "v2"]:
            with self.subTest(algorithm=algorithm):
                self.use(self.cloud.config(signature_algorithm=algorithm, access_key_secret="wrong"))
                self.refused("SignatureDoesNotMatch", 400, self.describe)
                self.use(self.cloud.config(signature_algorithm=algorithm, access_key_id="nobody"))
                self.refused("InvalidAccessKeyId.NotFound", 404, self.describe)
                self.use(self.cloud.config(signature_algorithm=algorithm))
                for minutes in [-16, 16]:
                    date = (datetime.now(timezone.utc) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
                    with mock.patch.object(Utils, "get_timestamp", lambda: date):
                        self.refused("InvalidTimeStamp.Expired", 400, self.describe)
                with mock.patch.object(Utils, "get_timestamp", lambda: "now"):
                    self.refused("InvalidTimeStamp.Format", 400, self.describe)
                with mock.patch.object(Utils, "get_nonce", lambda: f"once-{algorithm}"):
                    self.describe()
                    self.refused("SignatureNonceUsed", 400, self.describe)

    def test_keys_of_a_role_with_either(self):
        for algorithm in [None, "v2"]:
            with self.subTest(algorithm=algorithm):
                self.use(self.cloud.role("i-sim-1", signature_algorithm=algorithm))
                self.assertEqual(len(self.rows()), 4)
                self.use(self.cloud.role("i-sim-1", signature_algorithm=algorithm, security_token="another"))
                self.refused("InvalidSecurityToken.MismatchWithAccessKey", 403, self.describe)
                self.use(self.cloud.role("i-sim-1", signature_algorithm=algorithm, access_key_secret="wrong"))
                self.refused("SignatureDoesNotMatch", 400, self.describe)

    def test_an_action_that_is_not_served(self):
        request = ecs_models.DescribeRegionsRequest()
        self.refused("InvalidAction.NotFound", 404, self.ecs.describe_regions, request)

    def test_every_answer_has_a_request_id_of_its_own(self):
        ids = {self.describe().request_id for _ in range(5)}
        self.assertEqual(len(ids), 5)
        error = self.refused("InvalidEniId.NotFound", 404, self.delete, "eni-none")
        self.assertEqual(error.data["HostId"], f"ecs.{REGION}.aliyuncs.com")
        self.assertIn("InvalidEniId.NotFound", error.data["Recommend"])
