import assert from "node:assert/strict";
import { clientNetwork } from "./client_network.ts";

Deno.test("clientNetwork: IPv4, also mapped into IPv6 → the address", () => {
  assert.equal(clientNetwork("198.51.100.7"), "198.51.100.7");
  for (
    const mapped of ["::ffff:198.51.100.7", "::FFFF:c633:6407", "0:0:0:0:0:ffff:198.51.100.7", "0000::ffff:c633:6407"]
  ) {
    assert.equal(clientNetwork(mapped), "198.51.100.7", mapped);
  }
  assert.equal(clientNetwork("::ffff:0.0.0.1"), "0.0.0.1");
});

Deno.test("clientNetwork: IPv6 in any spelling → its /64", () => {
  for (const address of ["2001:db8:1:2::9", "2001:0DB8:1:2:ffff:0:0:1", "2001:db8:1:2:3:4:198.51.100.7"]) {
    assert.equal(clientNetwork(address), clientNetwork("2001:db8:1:2::1"), address);
  }
  assert.notEqual(clientNetwork("2001:db8:1:3::1"), clientNetwork("2001:db8:1:2::1"));
  assert.notEqual(clientNetwork("1::ffff:198.51.100.7"), clientNetwork("2::ffff:198.51.100.7"));
});
