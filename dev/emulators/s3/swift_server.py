# OpenStack Swift with its S3 interface in one process, for tests of the S3 target: `python3 swift_server.py <directory> <bucket> <key id>`,
# the secret key in SWIFT_KEY. Prints the port when it is ready, and ends with its standard input. Needs Debian's python3-swift.
import eventlet

eventlet.patcher.monkey_patch()
import os
import sys

from eventlet import wsgi as eventlet_wsgi
from swift.common import utils

directory, bucket, key_id = sys.argv[1:4]
os.makedirs(directory, exist_ok=True)
conf = directory + "/swift.conf"
with open(conf, "w") as out:
    out.write("[swift-hash]\nswift_hash_path_suffix = keepstream\n[storage-policy:0]\nname = one\ndefault = yes\n")
utils.SWIFT_CONF_FILE = conf
utils.validate_hash_conf()
from swift.common.ring import RingBuilder
from swift.common.storage_policy import POLICIES
from swift.common.swob import Request
from swift.common.wsgi import SwiftHttpProtocol, loadapp

os.makedirs(directory + "/disks/one", exist_ok=True)
listeners = {name: eventlet.listen(("127.0.0.1", 0)) for name in ("account", "container", "object", "proxy")}
for name in ("account", "container", "object"):
    builder = RingBuilder(1, 1, 0)
    port = listeners[name].getsockname()[1]
    device = {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "one", "weight": 1.0}
    builder.add_dev({**device, "replication_ip": "127.0.0.1", "replication_port": port, "meta": ""})
    builder.rebalance()
    builder.get_ring().save("%s/%s.ring.gz" % (directory, name))

common = "[DEFAULT]\nswift_dir = %s\ndevices = %s/disks\nmount_check = false\nlog_level = CRITICAL\n" % (directory, directory)
for name in ("account", "container", "object"):
    with open("%s/%s.conf" % (directory, name), "w") as out:
        out.write(common + "[pipeline:main]\npipeline = %s-server\n[app:%s-server]\nuse = egg:swift#%s\n" % (name, name, name))
with open(directory + "/proxy.conf", "w") as out:
    out.write(common + """
[pipeline:main]
pipeline = catch_errors bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
max_manifest_segments = 10000
[filter:dlo]
use = egg:swift#dlo
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
min_segment_size = 1
max_upload_part_num = 10000
[filter:tempauth]
use = egg:swift#tempauth
user_%s = %s .admin
""" % ("_".join(key_id.split(":")), os.environ["SWIFT_KEY"]))

log = open(os.devnull, "w")
for name in ("account", "container", "object"):
    eventlet.spawn(eventlet_wsgi.server, listeners[name], loadapp("%s/%s.conf" % (directory, name)), log, protocol=SwiftHttpProtocol)


class Cache(dict):
    """What the proxy keeps in memcached."""

    __bool__ = lambda self: True

    def get(self, key, raise_on_error=False):
        return dict.get(self, key)

    def set(self, key, value, *args, **options):
        self[key] = value

    def delete(self, key, *args, **options):
        self.pop(key, None)


cache = Cache()
swift = loadapp(directory + "/proxy.conf")


def proxy(env, start_response):
    return swift({**env, "swift.cache": cache}, start_response)


eventlet.spawn(eventlet_wsgi.server, listeners["proxy"], proxy, log, protocol=SwiftHttpProtocol)
eventlet.sleep(0.1)
account = "AUTH_" + key_id.split(":")[0]
for path in ("/v1/" + account, "/v1/%s/%s" % (account, bucket)):
    request = Request.blank(path, environ={"REQUEST_METHOD": "PUT", "swift.authorize_override": True, "swift.authorize": lambda req: None})
    status = request.get_response(proxy).status_int
    if status >= 300:
        sys.exit("PUT %s: status %d" % (path, status))
print(listeners["proxy"].getsockname()[1], flush=True)
eventlet.tpool.execute(sys.stdin.read)
os._exit(0)
