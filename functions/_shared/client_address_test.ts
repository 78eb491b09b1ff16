import assert from "node:assert/strict";
import { clientAddress } from "./client_address.ts";

const sent = new Headers({ "cf-connecting-ip": "198.51.100.1", "x-forwarded-for": "198.51.100.2, 192.0.2.1" });

Deno.test("clientAddress: what a client can write itself is not believed, only the edge's entry", () => {
  assert.equal(clientAddress(sent, null), "192.0.2.1");
  assert.equal(clientAddress(new Headers({ "cf-connecting-ip": "198.51.100.1" }), null), null);
});

Deno.test("clientAddress: the one header that is configured, and no other in its stead", () => {
  assert.equal(clientAddress(sent, "cf-connecting-ip"), "198.51.100.1");
  assert.equal(clientAddress(sent, "x-real-ip"), null);
});
