import assert from "node:assert/strict";
import { completionDocument, isErrorDocument, parseListPage, parseUploadId } from "./s3_xml.ts";

const page = (inner: string) => `<?xml version="1.0"?><ListBucketResult>${inner}</ListBucketResult>`;

Deno.test("parseListPage: objects and a token → both, entities decoded", () => {
  const text = page(
    `<IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b=</NextContinuationToken>
     <Contents><Key>a/1 &lt;2&gt;.mp4</Key><Size>12</Size></Contents><Contents><Key>007</Key><Size>0</Size></Contents>`,
  );
  assert.deepEqual(parseListPage(text), {
    objects: [{ key: "a/1 <2>.mp4", sizeBytes: 12 }, { key: "007", sizeBytes: 0 }],
    nextToken: "a&b=",
  });
});

Deno.test("parseListPage: one object, or none, on the last page → no token", () => {
  const last = "<IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>";
  const one = page(`${last}<Contents><Key>a</Key><Size>1</Size></Contents>`);
  assert.deepEqual(parseListPage(one), { objects: [{ key: "a", sizeBytes: 1 }], nextToken: null });
  assert.deepEqual(parseListPage(page(last)), { objects: [], nextToken: null });
  assert.deepEqual(parseListPage("<ListBucketResult/>"), null);
});

Deno.test("parseListPage: an HTML page or broken XML → null", () => {
  for (const text of ["", "<html><body>502</body></html>", "<ListBucketResult><Contents>", "{}"]) {
    assert.equal(parseListPage(text), null, text);
  }
});

Deno.test("parseUploadId: with and without an id → the id or null", () => {
  const of = (id: string) => `<InitiateMultipartUploadResult>${id}</InitiateMultipartUploadResult>`;
  assert.equal(parseUploadId(of("<UploadId>2~a&quot;b</UploadId>")), '2~a"b');
  assert.equal(parseUploadId(of("<UploadId></UploadId>")), null);
  assert.equal(parseUploadId("<html>"), null);
});

Deno.test("isErrorDocument: an error, a result, nothing → true, false, false", () => {
  assert.equal(isErrorDocument('<?xml version="1.0"?>\n<Error><Code>InternalError</Code></Error>'), true);
  assert.equal(isErrorDocument("<CompleteMultipartUploadResult/>"), false);
  assert.equal(isErrorDocument(""), false);
});

Deno.test("completionDocument: parts in any order → ascending, escaped", () => {
  assert.equal(
    completionDocument(new Map([[2, '"b&"'], [1, '"a"']])),
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag></Part>" +
      "<Part><PartNumber>2</PartNumber><ETag>&quot;b&amp;&quot;</ETag></Part></CompleteMultipartUpload>",
  );
});
