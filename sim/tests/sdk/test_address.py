"""Addresses of ENIs, of both families, single and as prefixes."""

from harness import Case


class Addresses(Case):
    def addresses(self, eni):
        row = self.rows(network_interface_id=[eni])[0]
        return (
            [ip.private_ip_address for ip in row.private_ip_sets.private_ip_set],
            [ip.ipv_6address for ip in row.ipv_6sets.ipv_6set],
            [prefix.ipv_4prefix for prefix in row.ipv_4prefix_sets.ipv_4prefix_set],
        )

    def test_single_ones_come_and_go(self):
        eni = self.attached()
        told = self.assign(eni, secondary_private_ip_address_count=3)
        self.assertEqual(told.network_interface_id, eni)
        given = told.private_ip_set.private_ip_address
        self.assertEqual(len(given), 3)
        self.assertEqual(self.addresses(eni)[0][1:], given)
        self.assertTrue(self.unassign(eni, private_ip_address=given[:2]).request_id)
        self.assertEqual(self.addresses(eni)[0][1:], given[2:])

    def test_prefixes_come_and_go(self):
        eni = self.attached()
        given = self.assign(eni, ipv_4prefix_count=2).ipv_4prefix_set.ipv_4prefixes
        self.assertEqual([prefix.split("/")[1] for prefix in given], ["28", "28"])
        self.assertEqual(self.addresses(eni)[2], given)
        self.unassign(eni, ipv_4prefix=given[:1])
        self.assertEqual(self.addresses(eni)[2], given[1:])

    def test_ipv6_comes_and_goes(self):
        eni = self.attached()
        body = self.assign6(eni, 2)
        self.assertEqual(body.network_interface_id, eni)
        given = body.ipv_6sets.ipv_6address
        self.assertEqual(self.addresses(eni)[1], given)
        self.unassign6(eni, given[:1])
        self.assertEqual(self.addresses(eni)[1], given[1:])

    def test_what_assign_refuses(self):
        eni = self.attached("vsw-sim-b", "i-sim-3")
        six = {"secondary_private_ip_address_count": 6}
        self.refused("InvalidOperation.Ipv4CountExceeded", 403, lambda: self.assign(eni, **six))
        self.refused("InvalidEniId.NotFound", 404, lambda: self.assign("eni-none", **six))
        self.refused("MissingParameter", 400, lambda: self.assign(eni))
        self.refused("InvalidParameter", 400, lambda: self.assign(eni, secondary_private_ip_address_count=11))
        self.refused(
            "InvalidParameter.Conflict", 400,
            lambda: self.assign(eni, secondary_private_ip_address_count=1, ipv_4prefix_count=1),
        )
        self.refused("UnsupportedParameter", 400, lambda: self.assign(eni, private_ip_address=["10.0.16.99"]))
        self.assign6(eni, 1)
        self.refused("InvalidOperation.Ipv6CountExceeded", 403, self.assign6, eni, 1)
        self.refused("InvalidOperation.Ipv6NotSupport", 403, self.assign6, self.attached(instance="i-sim-2"), 1)
        small = self.attached("vsw-sim-c", "i-sim-4")
        self.refused("InvalidVSwitch.Ipv6NotTurnOn", 403, self.assign6, small, 1)
        self.cloud.control("POST", "vswitches/vsw-sim-c/exhaust", {"leave": 0})
        one = {"secondary_private_ip_address_count": 1}
        self.refused("InvalidVSwitchId.IpNotEnough", 403, lambda: self.assign(small, **one))
        self.cloud.control("POST", "vswitches/vsw-sim-c/relieve")
        self.assign(small, **one)

    def test_what_unassign_refuses(self):
        eni = self.attached()
        given = self.assign(eni, secondary_private_ip_address_count=1).private_ip_set.private_ip_address
        primary = self.addresses(eni)[0][0]
        self.refused("InvalidIp.IpUnassigned", 403, lambda: self.unassign(eni, private_ip_address=["10.0.9.9"]))
        self.refused("InvalidIp.IpUnassigned", 403, lambda: self.unassign(eni, private_ip_address=[primary]))
        self.refused("InvalidIp.IpRepeated", 403, lambda: self.unassign(eni, private_ip_address=given * 2))
        self.refused("MissingParameter", 400, lambda: self.unassign(eni))
        self.refused("InvalidParameter", 400, lambda: self.unassign(eni, private_ip_address=["10.0.9"]))
        self.refused("InvalidIp.IpUnassigned", 403, self.unassign6, eni, ["2408:4005:3a0:ff00::99"])
        self.refused("InvalidEniId.NotFound", 404, self.unassign6, "eni-none", ["2408:4005:3a0:ff00::99"])
