"""What goes wrong in a cloud, as the SDK sees it."""

from Tea.exceptions import UnretryableException

from harness import Case


class Faults(Case):
    def test_each_kind_of_refusal(self):
        for kind, arguments, codes, status in [
            ("throttle", {"code": "Throttling"}, ["Throttling"], 400),
            ("throttle", {"code": "Throttling.User"}, ["Throttling.User"], 400),
            ("throttle", {"code": "Throttling.Api"}, ["Throttling.Api"], 400),
            ("throttle", {"code": "ServiceUnavailable"}, ["ServiceUnavailable"], 503),
            ("denied", {}, ["Forbidden.RAM"], 403),
            ("quota", {"code": "EniPerInstanceLimitExceeded"}, ["EniPerInstanceLimitExceeded"], 403),
            ("quota", {"code": "QuotaExceeded.PrivateIpAddress"}, ["QuotaExceeded.PrivateIpAddress"], 400),
            ("quota", {"code": "SecurityGroupInstanceLimitExceed"}, ["SecurityGroupInstanceLimitExceed"], 403),
        ]:
            self.cloud.fault(kind, **arguments)
            self.refused(codes[0], status, self.create)
            self.cloud.heal()
        eni = self.attached()
        self.cloud.fault("conflict")
        self.refused("Operation.Conflict", 403, lambda: self.assign(eni, secondary_private_ip_address_count=1))
        self.cloud.heal()
        self.cloud.fault("bad-state")
        self.refused("InvalidOperation.InvalidEniState", 400, self.detach, eni)

    def test_errors_of_the_server_are_its_own(self):
        self.cloud.fault("error")
        seen = set()
        for _ in range(20):
            with self.assertRaises(Exception) as caught:
                self.describe()
            seen.add((caught.exception.code, caught.exception.data["statusCode"]))
        self.assertEqual(seen, {("InternalError", 500), ("ServiceUnavailable", 503)})

    def test_an_error_that_was_applied_is_mended_by_the_token(self):
        self.cloud.fault("applied-error")
        self.refused("InternalError", 500, lambda: self.create(client_token="token"))
        self.cloud.heal()
        made = self.create(client_token="token")
        self.assertEqual([row.network_interface_id for row in self.rows(type="Secondary")], [made.network_interface_id])

    def test_an_assign_may_give_fewer(self):
        eni = self.attached()
        self.cloud.fault("partial")
        given = self.assign(eni, secondary_private_ip_address_count=10).private_ip_set.private_ip_address
        self.assertTrue(1 <= len(given) < 10, given)

    def test_reads_may_lag_behind_writes(self):
        self.cloud.fault("stale-read", lag="8s")
        made = self.create().network_interface_id
        self.assertIsNone(self.status(made), "what was just made is not seen")
        self.cloud.heal()
        self.assertEqual(self.status(made), "Available")
        self.cloud.fault("stale-read", lag="8s")
        self.delete(made)
        self.cloud.heal()
        self.eventually(lambda: self.status(made), None)

    def test_a_transition_may_hang_until_it_is_asked_for_again(self):
        eni = self.create().network_interface_id
        self.cloud.fault("stuck-state", target="action:AttachNetworkInterface")
        self.attach(eni)
        self.assertEqual(self.status(eni), "Attaching")
        self.attach(eni)
        self.eventually(lambda: self.status(eni), "InUse")

    def test_an_exhausted_vswitch(self):
        self.cloud.fault("exhausted", target="vswitch:vsw-sim-a")
        self.refused("InvalidVSwitchId.IpNotEnough", 403, self.create)
        self.assertTrue(self.create("vsw-sim-b").network_interface_id)


class Lost(Case):
    MODEL = "timeout_ms = 100"

    def test_a_lost_answer_is_no_answer_and_the_token_finds_it_again(self):
        self.cloud.fault("applied-timeout")
        with self.assertRaises(UnretryableException):
            self.create(client_token="token")
        self.cloud.heal()
        made = self.create(client_token="token").network_interface_id
        self.assertEqual([row.network_interface_id for row in self.rows(type="Secondary")], [made])

    def test_a_lost_request_did_nothing(self):
        self.cloud.fault("timeout")
        with self.assertRaises(UnretryableException):
            self.create()
        self.cloud.heal()
        self.assertEqual(self.rows(type="Secondary"), [])

    def test_a_cloud_that_cannot_be_reached(self):
        self.cloud.fault("unreachable")
        with self.assertRaises(UnretryableException):
            self.describe()


class Buckets(Case):
    MODEL = "action_buckets = { DescribeVSwitches = { capacity = 3, refill_per_second = 0.001 } }"

    def test_calls_beyond_the_bucket_are_throttled(self):
        for _ in range(3):
            self.vswitches()
        with self.assertRaises(Exception) as caught:
            self.vswitches()
        self.assertIn(caught.exception.code, ["Throttling", "Throttling.User", "Throttling.Api"])
        self.assertEqual(caught.exception.data["statusCode"], 400)
        self.assertEqual(len(self.rows()), 4, "other actions have their own bucket")
