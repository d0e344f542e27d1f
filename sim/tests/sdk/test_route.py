"""Route tables and their entries."""

from Tea.exceptions import TeaException

from harness import Case


class Routes(Case):
    def settled(self, id):
        self.eventually(lambda: self.routes().get(id), "Available")
        return id

    def test_a_route_is_made_described_and_deleted(self):
        id = self.settled(self.route("172.20.1.0/24"))
        rows = self.entries(route_entry_id=id).route_entrys.route_entry
        row = rows[0]
        self.assertEqual(
            (row.destination_cidr_block, row.type, row.ip_version, row.route_table_id),
            ("172.20.1.0/24", "Custom", "ipv4", "vtb-sim"),
        )
        hop = row.next_hops.next_hop[0]
        self.assertEqual((hop.next_hop_type, hop.next_hop_id), ("Instance", "i-sim-1"))
        self.assertTrue(self.unroute(route_entry_id=id).request_id)
        self.eventually(self.routes, {})

    def test_a_route_is_found_by_what_it_does(self):
        eni = self.attached()
        self.settled(self.route("172.20.1.0/24", hop=eni, kind="NetworkInterface"))
        where = {"route_table_id": "vtb-sim", "destination_cidr_block": "172.20.1.0/24"}
        self.refused("InvalidRouteEntry.NotFound", 400, lambda: self.unroute(next_hop_id="i-sim-1", **where))
        self.unroute(next_hop_id=eni, **where)
        self.eventually(self.routes, {})

    def test_tables_and_pages(self):
        body = self.tables(vpc_id="vpc-sim")
        (table,) = body.router_table_list.router_table_list_type
        self.assertEqual((table.route_table_id, table.route_table_type, table.status), ("vtb-sim", "System", "Available"))
        self.assertEqual((body.total_count, body.page_number, body.page_size), (1, 1, 10))
        self.assertEqual(self.tables(vpc_id="vpc-other").total_count, 0)
        ids, token = [], None
        while True:
            page = self.entries(max_result=2, next_token=token)
            ids += [row.route_entry_id for row in page.route_entrys.route_entry]
            token = page.next_token
            if not token:
                break
        self.assertEqual(ids, ["rte-00000001", "rte-00000002", "rte-00000003"])
        self.assertEqual(self.entries(route_entry_type="Custom").route_entrys.route_entry, [])

    def test_the_same_token_is_the_same_route(self):
        first = self.settled(self.route("172.20.1.0/24", client_token="token"))
        self.assertEqual(self.route("172.20.1.0/24", client_token="token"), first)
        self.refused("IdempotentParameterMismatch", 400, lambda: self.route("172.20.2.0/24", client_token="token"))

    def test_refusals(self):
        self.refused("InvalidRouteTableId.NotFound", 404, self.route, "172.20.1.0/24", "vtb-none")
        self.refused("InvalidRouteTableId.NotFound", 404, self.entries, "vtb-none")
        self.refused("InvalidCidrBlock", 400, self.route, "10.0.0.0/24")
        self.refused("InvalidCidrBlock", 400, self.route, "100.64.1.0/24")
        self.refused("InvalidCidrBlock.Malformed", 400, self.route, "172.20.1.1/24")
        self.refused("InvalidInstanceId.NotFound", 404, lambda: self.route("172.20.1.0/24", hop="i-none"))
        self.refused(
            "InvalidEniId.NotFound", 404,
            lambda: self.route("172.20.1.0/24", hop="eni-none", kind="NetworkInterface"),
        )
        self.refused("InvalidParameter", 400, lambda: self.route("172.20.1.0/24", kind="NatGateway"))
        self.refused("InvalidRouteEntryId.NotFound", 400, lambda: self.unroute(route_entry_id="rte-none"))
        managed = "OperationDenied.DeleteManagedRouteEntry"
        self.refused(managed, 400, lambda: self.unroute(route_entry_id="rte-00000001"))
        self.settled(self.route("172.20.1.0/24"))
        self.refused("RouterEntryConflict.Duplicated", 400, self.route, "172.20.1.0/24")

    def test_a_table_takes_two_hundred(self):
        made = 0
        while made < 200:
            try:
                self.route(f"172.20.{made}.0/24")
                made += 1
            except TeaException as error:
                self.assertEqual(error.code, "TaskConflict")
        self.eventually(lambda: set(self.routes_of_all_pages()), {"Available"})
        self.refused("QuotaExceeded.RouteEntry", 400, self.route, "172.20.200.0/24")

    def routes_of_all_pages(self):
        token = None
        while True:
            page = self.entries(route_entry_type="Custom", max_result=100, next_token=token)
            yield from (row.status for row in page.route_entrys.route_entry)
            token = page.next_token
            if not token:
                return


class OneAtATime(Case):
    MODEL = 'route_settles = ["500ms", "500ms"]'

    def test_a_vpc_takes_one_change_at_a_time(self):
        first = self.route("172.20.1.0/24")
        self.assertEqual(self.routes(), {first: "Pending"})
        self.refused("TaskConflict", 400, self.route, "172.20.2.0/24")
        self.refused("IncorrectRouteEntryStatus", 400, lambda: self.unroute(route_entry_id=first))
        self.eventually(self.routes, {first: "Available"})
        self.route("172.20.2.0/24")
        self.refused("TaskConflict", 400, lambda: self.unroute(route_entry_id=first))
