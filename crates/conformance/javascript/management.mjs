// Drives the management API with azure-asm-mgmt, -compute, -storage and -subscription, unmodified, from an empty
// subscription and back to nothing. All that they have of what is built is called: a method without a call here fails.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";
import { X509Certificate } from "node:crypto";
import { promisify } from "node:util";

import { BlobServiceClient, StorageSharedKeyCredential } from "@azure/storage-blob";

const require = createRequire(import.meta.url);
const base = `https://${process.env.WELKIN_MANAGEMENT}`;
const subscriptionId = process.env.WELKIN_SUBSCRIPTION;
const location = process.env.WELKIN_LOCATION;
const read = (name) => readFileSync(process.env[name], "utf8");

// Methods that are not called, and why. `begin…` is what the method without it calls first.
const EXCUSED = [
  [/\.begin/, "called by the method that waits"],
  [/\.(reboot|reimage|rebuild)RoleInstance|\.getPackage/, "sends nothing before its stream is ended, which is out of reach: see `ended`"],
  [/igration$/, "migration to another API, which there is not"],
  [/^(dnsServer|loadBalancers)\./, "virtual networks, which there are not"],
  [/^virtualMachine/, "virtual machines of customers' own, which there are not"],
  [/^extensionImages\.|xtension/, "extensions, which there are not"],
  [/^subscriptions\.(un)?registerResource$/, "resource providers, which there are not"],
];

const called = new Set();
const has = new Set();

// The client's groups of operations, with promises, each call noted.
function noted(client) {
  client.longRunningOperationInitialTimeout = 0;
  client.longRunningOperationRetryTimeout = 0;
  const groups = {};
  for (const [name, group] of Object.entries(client)) {
    if (typeof group !== "object" || group === null || name.startsWith("_") || name === "credentials") continue;
    const methods = Object.keys(Object.getPrototypeOf(group)).filter((key) => typeof group[key] === "function");
    groups[name] = {};
    for (const method of methods) {
      has.add(`${name}.${method}`);
      groups[name][method] = (...parameters) => {
        called.add(`${name}.${method}`);
        return promisify(group[method].bind(group))(...parameters);
      };
    }
  }
  return groups;
}

const pem = read("WELKIN_CERTIFICATE");
const mgmt = require("azure-asm-mgmt");
const credentials = mgmt.createCertificateCloudCredentials({ subscriptionId, pem });
const management = noted(mgmt.createManagementClient(credentials, base));
const computeClient = require("azure-asm-compute").createComputeManagementClient(credentials, base);
const compute = noted(computeClient);
const storage = noted(require("azure-asm-storage").createStorageManagementClient(credentials, base));
const subscriptions = noted(require("azure-asm-subscription").createSubscriptionClient(credentials, base));

// The client waits for a body that it does not want, until it is told that there is none.
const ended = (group, method, ...parameters) =>
  new Promise((resolve, reject) => {
    called.add(method);
    group[method](...parameters, (error, result) => (error ? reject(error) : resolve(result))).end();
  });

const fails = (promise, statusCode, code) =>
  assert.rejects(promise, (error) => {
    assert.equal(error.statusCode, statusCode, error.message);
    if (code) assert.equal(error.code, code, error.message);
    return true;
  });

test("what there is", async () => {
  const locations = (await management.locations.list()).locations;
  assert.deepEqual(locations.map((one) => one.name), [location]);
  assert.ok(locations[0].availableServices.includes("Compute"));
  const sizes = (await management.roleSizes.list()).roleSizes;
  assert.equal(sizes.find((size) => size.name === "Small").memoryInMb, 1792);
  assert.ok((await compute.operatingSystems.list()).operatingSystems.length >= 1);
  const families = (await compute.operatingSystems.listFamilies()).operatingSystemFamilies;
  assert.ok(families[0].operatingSystems.length >= 1);
  const own = await management.subscriptions.get();
  assert.equal(own.subscriptionID, subscriptionId);
  assert.equal(own.subscriptionStatus, "Active");
  assert.equal(own.currentHostedServices, 0);
  const listed = (await subscriptions.subscriptions.list()).subscriptions;
  assert.ok(listed.some((one) => one.subscriptionId === subscriptionId));
});

test("management certificates", async () => {
  const certificate = new X509Certificate(read("WELKIN_SECOND"));
  const thumbprint = certificate.fingerprint.replaceAll(":", "");
  // This client takes 200 only, and the real service answered 201: it reports what succeeded as an error.
  await fails(management.managementCertificates.create({ data: certificate.raw, thumbprint }), 201);
  const listed = (await management.managementCertificates.list()).subscriptionCertificates;
  assert.ok(listed.some((one) => one.thumbprint === thumbprint));
  const one = await management.managementCertificates.get(thumbprint);
  assert.equal(one.thumbprint, thumbprint);
  await management.managementCertificates.deleteMethod(thumbprint);
  await fails(management.managementCertificates.get(thumbprint), 404, "ResourceNotFound");
});

test("affinity groups", async () => {
  await management.affinityGroups.create({ name: "near", label: "Near", description: "d", location });
  await fails(management.affinityGroups.create({ name: "near", label: "Near", location }), 409, "ConflictError");
  assert.deepEqual((await management.affinityGroups.list()).affinityGroups.map((one) => one.name), ["near"]);
  await management.affinityGroups.update("near", { label: "Nearer" });
  const one = await management.affinityGroups.get("near");
  assert.equal(one.label, "Nearer");
  assert.equal(one.location, location);
});

test("storage accounts", async () => {
  const accounts = storage.storageAccounts;
  assert.equal((await accounts.checkNameAvailability("welkinjs")).isAvailable, true);
  const made = await accounts.create({ name: "welkinjs", label: "js", affinityGroup: "near", accountType: "Standard_LRS" });
  assert.equal(made.status, "Succeeded");
  assert.equal((await accounts.checkNameAvailability("welkinjs")).isAvailable, false);
  await accounts.update("welkinjs", { label: "renamed", description: "d" });
  const one = (await accounts.get("welkinjs")).storageAccount;
  assert.equal(one.properties.label, "renamed");
  assert.equal(one.properties.affinityGroup, "near");
  assert.equal(one.properties.status, "Created");
  assert.equal(one.properties.endpoints.length, 3);
  assert.deepEqual((await accounts.list()).storageAccounts.map((account) => account.name), ["welkinjs"]);
  const before = await accounts.getKeys("welkinjs");
  const after = await accounts.regenerateKeys({ name: "welkinjs", keyType: "Primary" });
  assert.notEqual(before.primaryKey, after.primaryKey);
  assert.equal(before.secondaryKey, after.secondaryKey);
});

test("hosted services", async () => {
  const services = compute.hostedServices;
  assert.equal((await services.checkNameAvailability("welkin-js")).isAvailable, true);
  const created = { serviceName: "welkin-js", label: "js", description: "d", affinityGroup: "near", extendedProperties: { owner: "js" } };
  await services.create(created);
  const taken = await services.checkNameAvailability("welkin-js");
  assert.deepEqual([taken.isAvailable, taken.reason], [false, "HostedServiceAlreadyExists"]);
  await fails(services.create(created), 409, "ConflictError");
  await services.update("welkin-js", { label: "renamed" });
  const one = await services.get("welkin-js");
  assert.equal(one.properties.label, "renamed");
  assert.equal(one.properties.affinityGroup, "near");
  assert.deepEqual(one.properties.extendedProperties, { owner: "js" });
  assert.deepEqual((await services.list()).hostedServices.map((service) => service.serviceName), ["welkin-js"]);
  assert.deepEqual((await services.getDetailed("welkin-js")).deployments, []);
  await fails(services.get("nobodys"), 404, "ResourceNotFound");
});

let packageUrl;

test("a package", async () => {
  const account = (await storage.storageAccounts.get("welkinjs")).storageAccount;
  const keys = await storage.storageAccounts.getKeys("welkinjs");
  for (const key of [keys.secondaryKey, keys.primaryKey]) {
    const credential = new StorageSharedKeyCredential("welkinjs", key);
    const container = new BlobServiceClient(account.properties.endpoints[0], credential).getContainerClient("packages");
    await container.createIfNotExists();
    const blob = container.getBlockBlobClient("service.cspkg");
    await blob.upload("a package, as far as management can tell", 40);
    packageUrl = blob.url;
  }
});

const deployments = () => compute.deployments;
const staged = (name) => ({
  name,
  label: name,
  packageUri: packageUrl,
  configuration: read("WELKIN_CONFIGURATION"),
  startDeployment: true,
});

const day = 24 * 3600 * 1000;

const pause = () => new Promise((resolve) => setTimeout(resolve, 20));

// By name and by slot, each way.
async function updates(by, key) {
  const of = (method) => (parameters) => deployments()[method]("welkin-js", key, parameters);
  const get = () => deployments()[`getBy${by}`]("welkin-js", key);
  const settled = async () => {
    while ((await get()).upgradeStatus?.upgradeType) await pause();
  };
  const configuration = `${read("WELKIN_CONFIGURATION")}<!-- ${by} -->`;
  await of(`changeConfigurationBy${by}`)({ configuration, mode: "Manual" });
  for (const upgradeDomain of [0, 1]) await of(`walkUpgradeDomainByDeployment${by}`)({ upgradeDomain });
  await settled();
  const another = `${configuration}<!-- upgraded -->`;
  const upgrade = { mode: "Manual", packageUri: packageUrl, configuration: another, label: "upgraded", force: false };
  await of(`upgradeBy${by}`)(upgrade);
  assert.equal((await get()).label, "upgraded");
  const rolled = of(`rollbackUpdateOrUpgradeByDeployment${by}`)({ mode: "auto", force: true });
  // This client takes 200 by name and 202 by slot: it reports what succeeded as an error.
  await (by === "Name" ? rolled : fails(rolled, 200));
  await settled();
  assert.equal((await get()).label, "v1");
}

test("deployments", async () => {
  const made = await deployments().create("welkin-js", "Production", staged("v1"));
  assert.equal(made.status, "Succeeded");
  const bySlot = await deployments().getBySlot("welkin-js", "Production");
  const byName = await deployments().getByName("welkin-js", "v1");
  assert.deepEqual([bySlot.name, byName.deploymentSlot, byName.label], ["v1", "Production", "v1"]);
  assert.equal(byName.configuration, read("WELKIN_CONFIGURATION"));
  assert.equal((await compute.hostedServices.getDetailed("welkin-js")).deployments[0].name, "v1");
  await deployments().updateStatusByDeploymentName("welkin-js", "v1", { status: "Suspended" });
  await deployments().updateStatusByDeploymentSlot("welkin-js", "Production", { status: "Running" });
  const instance = byName.roleInstances[0]?.instanceName ?? "Web_IN_0";
  for (const action of ["Rebooting", "Reimaging", "Rebuilding"]) {
    const of = (by) => `begin${action}RoleInstanceByDeployment${by}`;
    const more = action === "Rebuilding" ? ["allLocalDrives"] : [];
    await ended(computeClient.deployments, of("Name"), "welkin-js", "v1", instance, ...more);
    await ended(computeClient.deployments, of("Slot"), "welkin-js", "Production", instance, ...more);
  }
  await fails(deployments().create("welkin-js", "Production", staged("v2")), 409, "ConflictError");
  await updates("Name", "v1");
  await updates("Slot", "Production");
  // What was begun and not waited for holds the deployment.
  const free = async () => {
    while ((await deployments().getByName("welkin-js", "v1")).locked) await pause();
  };
  const settled = async (name) => {
    while ((await deployments().getByName("welkin-js", name)).upgradeStatus?.upgradeType) await pause();
  };
  const container = packageUrl.slice(0, packageUrl.lastIndexOf("/"));
  for (const [by, key] of [["Name", "v1"], ["Slot", "Production"]]) {
    const target = { containerUri: container, overwriteExisting: true };
    await ended(computeClient.deployments, `beginGettingPackageBy${by}`, "welkin-js", key, target);
    await free();
  }
  const [start, end] = [new Date(Date.now() - 80 * day), new Date(Date.now() + day)];
  assert.ok((await deployments().listEvents("welkin-js", "v1", start, end)).deploymentEvents.length >= 0);
  assert.ok((await deployments().listEventsBySlot("welkin-js", "Production", start, end)).deploymentEvents.length >= 0);
  await deployments().create("welkin-js", "Staging", staged("v2"));
  for (const name of ["v1", "v2"]) await settled(name);
  await deployments().swap("welkin-js", { productionDeployment: "v1", sourceDeployment: "v2" });
  assert.equal((await deployments().getBySlot("welkin-js", "Production")).name, "v2");
  const one = { name: ["Web_IN_0"] };
  await deployments().deleteRoleInstanceByDeploymentName("welkin-js", "v1", one);
  await deployments().deleteRoleInstanceByDeploymentSlot("welkin-js", "Production", one);
  await deployments().deleteByName("welkin-js", "v1", false);
  await deployments().deleteBySlot("welkin-js", "Production");
  await deployments().create("welkin-js", "Staging", staged("v2"));
  await deployments().deleteByName("welkin-js", "v2", false);
  await fails(deployments().getByName("welkin-js", "v2"), 404, "ResourceNotFound");
});

test("service certificates", async () => {
  const certificates = compute.serviceCertificates;
  const certificate = new X509Certificate(read("WELKIN_SECOND"));
  const thumbprint = certificate.fingerprint.replaceAll(":", "");
  const which = { serviceName: "welkin-js", thumbprintAlgorithm: "sha1", thumbprint };
  await certificates.create("welkin-js", { data: certificate.raw, certificateFormat: "Cer", password: "" });
  const listed = (await certificates.list("welkin-js")).certificates;
  assert.deepEqual(listed.map((one) => one.thumbprint), [thumbprint]);
  assert.ok((await certificates.get(which)).data.length > 0);
  await certificates.deleteMethod(which);
  await fails(certificates.get(which), 404, "ResourceNotFound");
});

test("the history", async () => {
  const told = await management.subscriptions.listOperations({
    startTime: new Date(Date.now() - day),
    endTime: new Date(Date.now() + day),
  });
  const names = told.subscriptionOperations.map((one) => one.operationName);
  assert.ok(names.includes("CreateAffinityGroup") && names.includes("CreateHostedService"), names.join());
  const created = told.subscriptionOperations.find((one) => one.operationName === "CreateHostedService");
  assert.equal(created.operationParameters.subscriptionID, subscriptionId);
  assert.equal(created.operationObjectId, `/${subscriptionId}/services/hostedservices/welkin-js`);
});

test("nothing is left", async () => {
  await deployments().create("welkin-js", "Production", staged("v3"));
  await compute.hostedServices.deleteAll("welkin-js");
  await fails(compute.hostedServices.get("welkin-js"), 404, "ResourceNotFound");
  await compute.hostedServices.create({ serviceName: "welkin-js", label: "js", location });
  await compute.hostedServices.deleteMethod("welkin-js");
  await storage.storageAccounts.deleteMethod("welkinjs");
  await management.affinityGroups.deleteMethod("near");
  assert.deepEqual((await management.affinityGroups.list()).affinityGroups, []);
});

test("all that the clients have", () => {
  const excused = (name) => EXCUSED.some(([pattern]) => pattern.test(name));
  const missing = [...has].filter((name) => !called.has(name) && !excused(name));
  assert.deepEqual(missing, [], "methods of the clients that no test calls");
});
