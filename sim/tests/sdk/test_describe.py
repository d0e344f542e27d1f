"""What is listed: filters and pages of every describe action."""

from alibabacloud_ecs20140526 import models as ecs_models

from harness import Case


class Enis(Case):
    def test_pages_by_token_hold_each_eni_once(self):
        made = {self.create().network_interface_id for _ in range(7)}
        seen, token = [], None
        while True:
            page = self.describe(max_results=3, next_token=token)
            rows = page.network_interface_sets.network_interface_set
            self.assertLessEqual(len(rows), 3)
            seen += [row.network_interface_id for row in rows]
            token = page.next_token
            if not token:
                break
        self.assertEqual(len(seen), 11)
        self.assertEqual(len(set(seen)), 11)
        self.assertLessEqual(made, set(seen))

    def test_pages_by_number_count_all_rows(self):
        for _ in range(2):
            self.create()
        page = self.describe(page_number=2, page_size=4)
        self.assertEqual((page.total_count, page.page_number, page.page_size), (6, 2, 4))
        self.assertEqual(len(page.network_interface_sets.network_interface_set), 2)

    def test_each_filter_narrows_the_listing(self):
        tag = ecs_models.CreateNetworkInterfaceRequestTag(key="owner", value="me")
        mine = self.create(tag=[tag]).network_interface_id
        used = self.attached()
        ids = lambda **filters: [row.network_interface_id for row in self.rows(**filters)]
        wanted = ecs_models.DescribeNetworkInterfacesRequestTag
        self.assertEqual(ids(tag=[wanted(key="owner", value="me")]), [mine])
        self.assertEqual(ids(tag=[wanted(key="owner", value="you")]), [])
        self.assertEqual(ids(instance_id="i-sim-1"), ["eni-00000001", used])
        self.assertEqual(ids(status="Available"), [mine])
        self.assertEqual(ids(type="Primary", v_switch_id="vsw-sim-b"), ["eni-00000003"])
        self.assertEqual(ids(security_group_id="sg-sim"), [mine, used])
        self.assertEqual(ids(private_ip_address=["10.0.0.1"]), ["eni-00000001"])
        self.assertEqual(ids(network_interface_id=[used, "eni-none"]), [used])
        self.assertEqual(ids(vpc_id="vpc-other"), [])
        self.refused("InvalidParameter", 400, lambda: self.describe(status="Lost"))
        self.refused("InvalidParameter", 400, lambda: self.describe(max_results=501))
        self.refused(
            "InvalidParameter", 400,
            lambda: self.describe(network_interface_id=[f"eni-{n}" for n in range(101)]),
        )


class Others(Case):
    def test_instance_types(self):
        body = self.types(instance_types=["ecs.g7.xlarge", "ecs.none"])
        (found,) = body.instance_types.instance_type
        self.assertEqual(
            (found.instance_type_id, found.instance_type_family, found.eni_quantity),
            ("ecs.g7.xlarge", "ecs.g7", 4),
        )
        self.assertEqual((found.eni_private_ip_address_quantity, found.eni_ipv_6address_quantity), (15, 15))
        self.assertIs(found.eni_trunk_supported, False)
        self.assertEqual(found.eni_total_quantity, 4)
        names, token = [], None
        while True:
            page = self.types(max_results=10, next_token=token)
            names += [row.instance_type_id for row in page.instance_types.instance_type]
            token = page.next_token
            if not token:
                break
        self.assertEqual((len(names), len(set(names))), (26, 26))
        families = {row.instance_type_family for row in self.types(instance_type_family="ecs.g6").instance_types.instance_type}
        self.assertEqual(families, {"ecs.g6"})
        self.refused("InvalidParameter", 400, lambda: self.types(instance_types=[f"ecs.{n}" for n in range(11)]))

    def test_security_groups(self):
        body = self.groups(security_group_ids='["sg-sim", "sg-none"]')
        (found,) = body.security_groups.security_group
        self.assertEqual(
            (found.security_group_id, found.security_group_name, found.vpc_id), ("sg-sim", "nodes", "vpc-sim")
        )
        self.assertEqual((body.total_count, body.page_number, body.page_size), (1, 1, 10))
        self.assertEqual(self.groups(vpc_id="vpc-other").total_count, 0)
        self.refused("InvalidParameter", 400, lambda: self.groups(security_group_ids="sg-sim"))

    def test_vswitches(self):
        body = self.vswitches(page_size=2, vpc_id="vpc-sim")
        self.assertEqual((body.total_count, body.page_number, body.page_size), (3, 1, 2))
        ids = [row.v_switch_id for row in body.v_switches.v_switch]
        ids += [row.v_switch_id for row in self.vswitches(page_size=2, page_number=2).v_switches.v_switch]
        self.assertEqual(ids, ["vsw-sim-a", "vsw-sim-b", "vsw-sim-c"])
        (one,) = self.vswitches(v_switch_id="vsw-sim-c").v_switches.v_switch
        self.assertEqual((one.zone_id, one.cidr_block, one.status), ("cn-sim-c", "10.0.32.0/27", "Available"))
        # 32 addresses, four of them the cloud's, one the instance's.
        self.assertEqual(one.available_ip_address_count, 27)
        (other,) = self.vswitches(zone_id="cn-sim-b").v_switches.v_switch
        self.assertEqual(other.ipv_6cidr_block, "2408:4005:3a0:ff01::/64")
        self.assertEqual(self.vswitches(v_switch_id="vsw-none").v_switches.v_switch, [])
        self.refused("InvalidParameter", 400, lambda: self.vswitches(page_size=51))

    def test_another_region_is_not_here(self):
        request = ecs_models.DescribeNetworkInterfacesRequest(region_id="cn-hangzhou")
        self.refused("InvalidRegionId.NotFound", 404, self.ecs.describe_network_interfaces, request)
