"""A cloud of one test, the SDK's clients of it, and what people do to it from outside."""

import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.request

from alibabacloud_credentials.client import Client as Credentials
from alibabacloud_credentials.models import Config as CredentialsConfig
from alibabacloud_ecs20140526 import models as ecs_models
from alibabacloud_ecs20140526.client import Client as EcsClient
from alibabacloud_tea_openapi.utils_models import Config
from alibabacloud_vpc20160428 import models as vpc_models
from alibabacloud_vpc20160428.client import Client as VpcClient
from Tea.exceptions import TeaException

REGION = "cn-sim"
TERWAY_SIM = os.environ["TERWAY_SIM"]


class Cloud:
    """A running `terway-sim cloud`."""

    def __init__(self, model=""):
        self.folder = tempfile.TemporaryDirectory()
        topology = subprocess.run([TERWAY_SIM, "cloud", "topology"], capture_output=True, text=True, check=True)
        path = os.path.join(self.folder.name, "topology.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{topology.stdout}\n[cloud]\n{model}\n")
        command = [TERWAY_SIM, "cloud", "--listen", "127.0.0.1:0", "--latency", "none", "--json", "--topology", path]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.told = json.loads(self.process.stdout.readline())

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()
        self.folder.cleanup()

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.told['control']}/_sim/{path}", data=data, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def fault(self, kind, **arguments):
        return self.control("POST", "faults", {"kind": kind, "for": "1h", **arguments})

    def heal(self):
        return self.control("DELETE", "faults")

    def metadata(self, instance, path):
        with urllib.request.urlopen(f"{self.told['metadata']}/instances/{instance}/latest/meta-data/{path}") as answer:
            return answer.read().decode()

    def config(self, **changes):
        settings = {
            "access_key_id": self.told["access_key_id"],
            "access_key_secret": self.told["access_key_secret"],
            "endpoint": self.told["openapi"].removeprefix("http://"),
            "protocol": "http",
            "region_id": REGION,
        }
        settings.update(changes)
        return Config(**settings)

    def role(self, instance, **changes):
        """The configuration of whoever has the keys that an instance's role gives out."""
        key = json.loads(self.metadata(instance, "ram/security-credentials/terway-sim"))
        credential = Credentials(
            CredentialsConfig(
                type="sts",
                access_key_id=key["AccessKeyId"],
                access_key_secret=changes.pop("access_key_secret", key["AccessKeySecret"]),
                security_token=changes.pop("security_token", key["SecurityToken"]),
            )
        )
        return self.config(access_key_id=None, access_key_secret=None, credential=credential, **changes)


class Case(unittest.TestCase):
    """A test with a cloud that takes no time, but for what `MODEL` says of it."""

    MODEL = ""

    def setUp(self):
        self.cloud = Cloud(self.MODEL)
        self.addCleanup(self.cloud.stop)
        self.use(self.cloud.config())

    def use(self, config):
        self.ecs = EcsClient(config)
        self.vpc = VpcClient(config)

    def refused(self, code, status, call, *args):
        """Calls, and demands this refusal; returns it."""
        with self.assertRaises(TeaException) as caught:
            call(*args)
        error = caught.exception
        self.assertEqual((error.code, error.data["statusCode"]), (code, status), error.message)
        self.assertTrue(error.data["RequestId"])
        return error

    def eventually(self, look, wanted, seconds=5):
        """Looks until it sees what is wanted."""
        end = time.monotonic() + seconds
        while (seen := look()) != wanted:
            self.assertLess(time.monotonic(), end, f"it stays {seen!r}, not {wanted!r}")
            time.sleep(0.005)

    # The actions, each as short as it can be asked for.

    def create(self, vswitch="vsw-sim-a", **more):
        request = ecs_models.CreateNetworkInterfaceRequest(
            region_id=REGION, v_switch_id=vswitch, **{"security_group_ids": ["sg-sim"], **more}
        )
        return self.ecs.create_network_interface(request).body

    def attach(self, eni, instance="i-sim-1"):
        request = ecs_models.AttachNetworkInterfaceRequest(
            region_id=REGION, network_interface_id=eni, instance_id=instance
        )
        return self.ecs.attach_network_interface(request).body

    def detach(self, eni, instance="i-sim-1"):
        request = ecs_models.DetachNetworkInterfaceRequest(
            region_id=REGION, network_interface_id=eni, instance_id=instance
        )
        return self.ecs.detach_network_interface(request).body

    def delete(self, eni):
        request = ecs_models.DeleteNetworkInterfaceRequest(region_id=REGION, network_interface_id=eni)
        return self.ecs.delete_network_interface(request).body

    def describe(self, **filters):
        request = ecs_models.DescribeNetworkInterfacesRequest(region_id=REGION, **filters)
        return self.ecs.describe_network_interfaces(request).body

    def rows(self, **filters):
        return self.describe(**filters).network_interface_sets.network_interface_set

    def status(self, eni):
        rows = self.rows(network_interface_id=[eni])
        return rows[0].status if rows else None

    def attached(self, vswitch="vsw-sim-a", instance="i-sim-1", **more):
        """An ENI that is in use."""
        eni = self.create(vswitch, **more).network_interface_id
        self.attach(eni, instance)
        self.eventually(lambda: self.status(eni), "InUse")
        return eni

    def assign(self, eni, **what):
        request = ecs_models.AssignPrivateIpAddressesRequest(region_id=REGION, network_interface_id=eni, **what)
        return self.ecs.assign_private_ip_addresses(request).body.assigned_private_ip_addresses_set

    def unassign(self, eni, **what):
        request = ecs_models.UnassignPrivateIpAddressesRequest(region_id=REGION, network_interface_id=eni, **what)
        return self.ecs.unassign_private_ip_addresses(request).body

    def assign6(self, eni, count, **more):
        request = ecs_models.AssignIpv6AddressesRequest(
            region_id=REGION, network_interface_id=eni, ipv_6address_count=count, **more
        )
        return self.ecs.assign_ipv_6addresses(request).body

    def unassign6(self, eni, addresses):
        request = ecs_models.UnassignIpv6AddressesRequest(
            region_id=REGION, network_interface_id=eni, ipv_6address=addresses
        )
        return self.ecs.unassign_ipv_6addresses(request).body

    def types(self, **filters):
        return self.ecs.describe_instance_types(ecs_models.DescribeInstanceTypesRequest(**filters)).body

    def groups(self, **filters):
        request = ecs_models.DescribeSecurityGroupsRequest(region_id=REGION, **filters)
        return self.ecs.describe_security_groups(request).body

    def vswitches(self, **filters):
        request = vpc_models.DescribeVSwitchesRequest(region_id=REGION, **filters)
        return self.vpc.describe_vswitches(request).body

    def tables(self, **filters):
        request = vpc_models.DescribeRouteTableListRequest(region_id=REGION, **filters)
        return self.vpc.describe_route_table_list(request).body

    def entries(self, table="vtb-sim", **filters):
        request = vpc_models.DescribeRouteEntryListRequest(region_id=REGION, route_table_id=table, **filters)
        return self.vpc.describe_route_entry_list(request).body

    def route(self, destination, table="vtb-sim", hop="i-sim-1", kind="Instance", **more):
        request = vpc_models.CreateRouteEntryRequest(
            region_id=REGION,
            route_table_id=table,
            destination_cidr_block=destination,
            next_hop_type=kind,
            next_hop_id=hop,
            **more,
        )
        return self.vpc.create_route_entry(request).body.route_entry_id

    def unroute(self, **which):
        return self.vpc.delete_route_entry(vpc_models.DeleteRouteEntryRequest(region_id=REGION, **which)).body

    def routes(self):
        """Custom entries by id, with their states."""
        rows = self.entries(route_entry_type="Custom", max_result=100).route_entrys.route_entry
        return {row.route_entry_id: row.status for row in rows}
