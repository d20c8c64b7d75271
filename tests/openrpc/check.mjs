// Reads [{"document": OpenRPC document, "replies": [{"method", "result"}]}, …]
// from standard input. Checks each document against the meta-schema of OpenRPC,
// its schemas, examples and references by themselves, and each reply against
// the schema of its method. Prints, for each document, a list of what is wrong.
import { readFileSync } from "node:fs";
import Ajv from "ajv";
import addFormats from "ajv-formats";
import jsonSchema from "@json-schema-tools/meta-schema";
import openRPC from "@open-rpc/meta-schema";

const META = "https://meta.open-rpc.org/";
const DISCOVERED = "https://raw.githubusercontent.com/open-rpc/meta-schema/master/schema.json";

let faults; // of the document at hand

function validator(options) {
  const ajv = new Ajv({ allErrors: true, ...options });
  addFormats(ajv);
  return ajv;
}

// The two meta-schemas name themselves as their own $schema, which Ajv would
// follow for ever.
function plain(schema) {
  const { $schema, ...rest } = schema.default ?? schema;
  return rest;
}

const meta = validator({ strict: false, validateSchema: false });
meta.addSchema(plain(jsonSchema), "https://meta.json-schema.tools");
const isOpenRPC = meta.compile(plain(openRPC));

function check(what, validate, value) {
  if (validate(value)) return;
  for (const e of validate.errors) faults.push(`${what}${e.instancePath}: ${e.message} ${JSON.stringify(e.params)}`);
}

// Values are checked by strict rules: a keyword that does not exist, or does
// not fit its type, is a fault of the schema.
const values = validator({ strict: true, strictRequired: false, allowUnionTypes: true });
values.addSchema({ $id: DISCOVERED, type: "object", required: ["openrpc", "methods"] });

function compile(what, schema) {
  try {
    return values.compile(schema);
  } catch (e) {
    faults.push(`${what}: ${e.message}`);
    return () => true;
  }
}

function resolve(document, ref) {
  return ref.replace(/^#\//, "").split("/").reduce((o, name) => o?.[name], document);
}

function checkReferences(document, value, at) {
  if (value === null || typeof value !== "object") return;
  for (const [name, member] of Object.entries(value)) {
    if (name === "$ref" && member.startsWith("#") && resolve(document, member) === undefined) {
      faults.push(`${at}: ${member} is not there`);
    }
    checkReferences(document, member, `${at}/${name}`);
  }
}

function checkExample(method, params, result, example) {
  const what = `${method.name}, example ${example.name}`;
  const given = new Map(example.params.map((p) => [p.name, p.value]));
  for (const p of method.params) {
    if (given.has(p.name)) check(`${what}, ${p.name}`, params.get(p.name), given.get(p.name));
    else if (p.required) faults.push(`${what}: ${p.name} is missing`);
    given.delete(p.name);
  }
  for (const name of given.keys()) faults.push(`${what}: ${name} is no parameter`);
  check(`${what}, result`, result, example.result.value);
}

function checkMethod(method) {
  const params = new Map(method.params.map((p) => [p.name, compile(`${method.name}, ${p.name}`, p.schema)]));
  const result = compile(`${method.name}, result`, method.result.schema);
  for (const example of method.examples ?? []) checkExample(method, params, result, example);
  return result;
}

function faultsOf({ document, replies }) {
  faults = [];
  check("document", isOpenRPC, document);
  checkReferences(document, document, "document");
  const results = new Map();
  for (const method of document.methods) {
    if (results.has(method.name)) faults.push(`${method.name} is there twice`);
    results.set(method.name, checkMethod(method));
  }
  for (const { method, result } of replies ?? []) {
    if (results.has(method)) check(`answer of ${method}`, results.get(method), result);
    else faults.push(`answer of ${method}: the document does not have it`);
  }
  return faults;
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(faultsOf)));
