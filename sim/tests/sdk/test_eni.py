"""ENIs: their life, its refusals, and tokens."""

import threading
import time

from alibabacloud_ecs20140526 import models as ecs_models

from harness import Case


class Life(Case):
    MODEL = 'attach_settles = ["200ms", "200ms"]\ndetach_settles = ["200ms", "200ms"]\ndelete_settles = ["200ms", "200ms"]'

    def test_an_eni_goes_through_its_states(self):
        eni = self.create(
            secondary_private_ip_address_count=2,
            ipv_6address_count=1,
            network_interface_name="eth1",
            description="of the SDK's suite",
            tag=[ecs_models.CreateNetworkInterfaceRequestTag(key="creator", value="terway")],
        )
        self.assertEqual((eni.status, eni.type, eni.zone_id, eni.vpc_id), ("Available", "Secondary", "cn-sim-a", "vpc-sim"))
        self.assertRegex(eni.mac_address, "^00:16:3e(:[0-9a-f]{2}){3}$")
        addresses = eni.private_ip_sets.private_ip_set
        self.assertEqual([ip.primary for ip in addresses], [True, False, False])
        self.assertEqual(addresses[0].private_ip_address, eni.private_ip_address)
        self.assertEqual(len(eni.ipv_6sets.ipv_6set), 1)
        self.assertEqual(eni.security_group_ids.security_group_id, ["sg-sim"])
        self.assertEqual([(tag.tag_key, tag.tag_value) for tag in eni.tags.tag], [("creator", "terway")])
        id = eni.network_interface_id
        self.assertTrue(self.attach(id).request_id)
        self.assertEqual(self.status(id), "Attaching")
        self.eventually(lambda: self.status(id), "InUse")
        row = self.rows(network_interface_id=[id])[0]
        self.assertEqual((row.instance_id, row.attachment.instance_id), ("i-sim-1", "i-sim-1"))
        self.assertEqual((row.network_interface_name, row.description), ("eth1", "of the SDK's suite"))
        self.detach(id)
        self.assertEqual(self.status(id), "Detaching")
        self.detach(id)
        self.eventually(lambda: self.status(id), "Available")
        self.delete(id)
        self.assertEqual(self.status(id), "Deleting")
        self.delete(id)
        self.eventually(lambda: self.status(id), None)

    def test_what_is_under_way_refuses_other_changes(self):
        eni = self.create().network_interface_id
        self.attach(eni)
        wrong = "InvalidOperation.InvalidEniState"
        self.refused(wrong, 400, self.attach, eni)
        self.refused(wrong, 400, self.delete, eni)
        self.refused(wrong, 400, lambda: self.assign(eni, secondary_private_ip_address_count=1))
        self.eventually(lambda: self.status(eni), "InUse")
        self.refused(wrong, 400, self.delete, eni)
        self.refused(wrong, 400, self.detach, eni, "i-sim-2")


class Refusals(Case):
    def test_create(self):
        self.refused("InvalidVSwitchId.NotFound", 404, self.create, "vsw-none")
        self.refused("InvalidSecurityGroupId.NotFound", 404, lambda: self.create(security_group_ids=["sg-none"]))
        self.refused("MissingParameter", 400, lambda: self.create(security_group_ids=None))
        self.refused("InvalidParameter.Conflict", 400, lambda: self.create(security_group_id="sg-sim"))
        self.refused("InvalidParameter", 400, lambda: self.create(secondary_private_ip_address_count=50))
        self.refused("InvalidParameter", 400, lambda: self.create(client_token="t" * 65))
        self.refused(
            "InvalidParameter.Conflict", 400,
            lambda: self.create(secondary_private_ip_address_count=1, ipv_4prefix_count=1),
        )
        self.refused("InvalidVSwitch.Ipv6NotTurnOn", 403, lambda: self.create("vsw-sim-c", ipv_6address_count=1))
        self.refused(
            "InvalidVSwitchId.IpNotEnough", 403,
            lambda: self.create("vsw-sim-c", secondary_private_ip_address_count=40),
        )
        tag = ecs_models.CreateNetworkInterfaceRequestTag
        self.refused("InvalidTagKey.Malformed", 400, lambda: self.create(tag=[tag(key="acs:mine", value="")]))
        self.refused("InvalidTagValue.Malformed", 400, lambda: self.create(tag=[tag(key="k", value="v" * 129)]))
        self.refused(
            "Duplicate.TagKey", 400, lambda: self.create(tag=[tag(key="k", value="1"), tag(key="k", value="2")])
        )
        self.refused(
            "QuotaExceed.Tags", 403, lambda: self.create(tag=[tag(key=f"k{n}", value="") for n in range(21)])
        )
        self.refused("UnsupportedParameter", 400, lambda: self.create(primary_ip_address="10.0.0.77"))
        self.refused("InvalidParameter", 400, lambda: self.create(instance_type="Trunk"))
        self.assertEqual(len(self.rows()), 4, "nothing was made")

    def test_attach(self):
        eni = self.create().network_interface_id
        self.refused("InvalidEniId.NotFound", 404, self.attach, "eni-none")
        self.refused("InvalidEcsId.NotFound", 404, self.attach, eni, "i-none")
        self.refused("InvalidOperation.InvalidEniType", 403, self.attach, "eni-00000001")
        self.refused("InvalidOperation.AvailabilityZoneMismatch", 403, self.attach, eni, "i-sim-3")
        self.cloud.control("POST", "instances/i-sim-1/state", {"state": "Stopping"})
        self.refused("InvalidOperation.InvalidEcsState", 400, self.attach, eni)

    def test_attach_with_more_than_the_instance_takes(self):
        many = self.create("vsw-sim-b", secondary_private_ip_address_count=6).network_interface_id
        self.refused("InvalidOperation.Ipv4CountExceeded", 403, self.attach, many, "i-sim-3")
        many = self.create("vsw-sim-b", ipv_6address_count=2).network_interface_id
        self.refused("InvalidOperation.Ipv6CountExceeded", 403, self.attach, many, "i-sim-3")
        self.attached("vsw-sim-b", "i-sim-3")
        one = self.create("vsw-sim-b").network_interface_id
        self.refused("EniPerInstanceLimitExceeded", 403, self.attach, one, "i-sim-3")

    def test_detach(self):
        eni = self.attached()
        self.refused("InvalidEniId.NotFound", 404, self.detach, "eni-none")
        self.refused("InvalidEcsId.NotFound", 404, self.detach, eni, "i-none")
        self.refused("InvalidOperation.DetachPrimaryEniNotAllowed", 400, self.detach, "eni-00000001")
        self.cloud.control("POST", "instances/i-sim-1/state", {"state": "Starting"})
        self.refused("InvalidOperation.InvalidEcsState", 400, self.detach, eni)

    def test_delete(self):
        self.refused("InvalidEniId.NotFound", 404, self.delete, "eni-none")
        self.refused("InvalidOperation.InvalidEniType", 403, self.delete, "eni-00000001")


class Quota(Case):
    MODEL = "account_eni_quota = 1"

    def test_the_account_has_so_many_enis(self):
        self.create()
        self.refused("MaxEniCountExceeded", 403, self.create)


class Tokens(Case):
    def test_the_same_token_is_the_same_eni(self):
        first = self.create(client_token="token-1")
        again = self.create(client_token="token-1")
        self.assertEqual(first.network_interface_id, again.network_interface_id)
        self.assertNotEqual(first.request_id, again.request_id)
        self.assertNotEqual(first.network_interface_id, self.create(client_token="token-2").network_interface_id)
        self.refused("IdempotentParameterMismatch", 400, lambda: self.create("vsw-sim-b", client_token="token-1"))

    def test_a_refused_request_leaves_its_token_free(self):
        self.refused("InvalidVSwitchId.NotFound", 404, lambda: self.create("vsw-none", client_token="token"))
        self.assertTrue(self.create(client_token="token").network_interface_id)

    def test_the_same_token_is_the_same_addresses(self):
        eni = self.attached()
        both = [
            self.assign(eni, secondary_private_ip_address_count=2, client_token="t").private_ip_set.private_ip_address
            for _ in range(2)
        ]
        self.assertEqual(both[0], both[1])
        self.assertEqual(len(self.rows(network_interface_id=[eni])[0].private_ip_sets.private_ip_set), 3)


class Processing(Case):
    MODEL = 'create = ["1s", "1s"]'

    def test_a_token_is_busy_while_its_first_request_is(self):
        made = []
        first = threading.Thread(target=lambda: made.append(self.create(client_token="token")))
        first.start()
        # Applied at half of the second; this one comes in the other half.
        time.sleep(0.2)
        self.refused("IdempotentProcessing", 403, lambda: self.create(client_token="token"))
        first.join()
        self.assertEqual(self.create(client_token="token").network_interface_id, made[0].network_interface_id)
