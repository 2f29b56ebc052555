// openai for Node against a Slackwater that is running: the same walk with each way to build a client. Started by
// tests/clients/test_node.py, which says in SLACKWATER_URL and SLACKWATER_KEY where the server is and what it accepts.
import assert from 'node:assert/strict';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { AzureOpenAI, toFile } from 'openai';

const url = process.env.SLACKWATER_URL;
const key = process.env.SLACKWATER_KEY;
const deployment = 'demo-batch';
const slashed = 'meta-llama/Llama-3.1-8B';
const DAY = 86_400;
const ENDED = new Set(['completed', 'failed', 'cancelled', 'expired']);

// What differs between the families that a client can speak to.
const azure = {
  prefix: '/openai',
  codes: { missing: 'invalidPayload', notFound: 'notFound', key: '401', conflict: 'conflict' },
  endpoint: '/chat/completions',
  errorFile: true,
  forgivesDelete: true,
};
const azureV1 = { ...azure, prefix: '/openai/v1', endpoint: '/v1/chat/completions', errorFile: false };
const openai = {
  ...azureV1,
  prefix: '/v1',
  codes: { missing: 'missing_required_parameter', notFound: null, key: 'invalid_api_key', conflict: null },
  forgivesDelete: false,
};
const azureOptions = { endpoint: url, apiVersion: '2024-10-21' };
const CLIENTS = {
  'AzureOpenAI': { ...azure, connect: (options) => new AzureOpenAI({ ...azureOptions, apiKey: key, ...options }) },
  'AzureOpenAI with a deployment': {
    ...azure,
    connect: (options) => new AzureOpenAI({ ...azureOptions, apiKey: key, deployment, ...options }),
    createPath: `/openai/deployments/${deployment}/batches`,
  },
  'AzureOpenAI with a deployment that has a slash': {
    ...azure,
    connect: (options) => new AzureOpenAI({ ...azureOptions, apiKey: key, deployment: slashed, ...options }),
    createPath: `/openai/deployments/${encodeURIComponent(slashed)}/batches`,
  },
  'OpenAI at /openai/v1': {
    ...azureV1,
    connect: (options) => new OpenAI({ baseURL: `${url}/openai/v1`, apiKey: key, ...options }),
  },
  'OpenAI at /v1': { ...openai, connect: (options) => new OpenAI({ baseURL: `${url}/v1`, apiKey: key, ...options }) },
};

const lines = (count, content = 'When does the tide turn?') =>
  Array.from({ length: count }, (_, number) =>
    JSON.stringify({
      custom_id: `task-${number}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { model: deployment, messages: [{ role: 'user', content }] },
    }) + '\n',
  ).join('');

const upload = async (client, text) =>
  client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose: 'batch' });

const create = (client, file, options = {}) =>
  client.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    ...options,
  });

async function ended(client, id) {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (ENDED.has(batch.status)) return batch;
    assert.ok(Date.now() < deadline, `batch ${id} is still ${batch.status}`);
    await sleep(50);
  }
}

async function failure(promise, kind) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error instanceof OpenAI.APIError);
    assert.match(error.requestID, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    assert.equal(error.requestID, error.headers.get('x-request-id'));
    return error;
  }
  assert.fail(`a ${kind.name} was expected`);
}

async function collect(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

for (const [name, family] of Object.entries(CLIENTS)) {
  describe(name, () => {
    // The client's own calls, as it makes them: where they go, and how often.
    const paths = [];
    const watched = (address, init) => {
      paths.push(new URL(address).pathname);
      return fetch(address, init);
    };
    const client = family.connect({ fetch: watched });
    let directory;
    before(async () => {
      directory = await mkdtemp(join(tmpdir(), 'slackwater-node-'));
    });
    after(() => rm(directory, { recursive: true }));

    test('the whole road: upload, wait, create, poll, stream the results, delete', async () => {
      const input = join(directory, 'questions.jsonl');
      await writeFile(input, lines(3));
      const file = await client.files.create({
        file: createReadStream(input),
        purpose: 'batch',
        expires_after: { anchor: 'created_at', seconds: DAY },
      });
      assert.equal(file.filename, 'questions.jsonl');
      assert.equal(file.bytes, lines(3).length);
      assert.equal(file.expires_at, file.created_at + DAY);
      const processed = await client.files.waitForProcessing(file.id, { pollInterval: 50, maxWait: 10_000 });
      assert.equal(processed.status, 'processed');

      const made = await create(client, file, { metadata: { team: 'tides' } });
      assert.equal(paths.at(-1), family.createPath ?? `${family.prefix}/batches`);
      assert.equal(made.endpoint, family.endpoint);
      assert.equal(made.expires_at, made.created_at + DAY);
      const batch = await ended(client, made.id);
      assert.equal(batch.status, 'completed');
      assert.deepEqual(batch.request_counts, { total: 3, completed: 3, failed: 0 });
      assert.deepEqual(batch.metadata, { team: 'tides' });
      assert.equal(batch.error_file_id !== null, family.errorFile);

      const results = join(directory, 'results.jsonl');
      const answer = await client.files.content(batch.output_file_id);
      await pipeline(Readable.fromWeb(answer.body), createWriteStream(results));
      const answers = (await readFile(results, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line));
      assert.deepEqual(answers.map((line) => line.custom_id).sort(), ['task-0', 'task-1', 'task-2']);
      assert.ok(answers.every((line) => line.response.status_code === 200 && line.error === null));
      assert.equal((await client.files.retrieve(batch.output_file_id)).purpose, 'batch_output');

      assert.equal((await client.files.delete(file.id)).deleted, true);
      if (family.forgivesDelete) {
        assert.equal((await client.files.delete(file.id)).deleted, false);
      } else {
        await failure(client.files.delete(file.id), OpenAI.NotFoundError);
      }
    });

    test('for await goes through more than two pages and ends', async () => {
      const files = [];
      const batches = [];
      for (let number = 0; number < 5; number += 1) {
        files.unshift(await upload(client, lines(1)));
        batches.unshift(await create(client, files[0], { metadata: { number: `${number}` } }));
      }
      const listed = (await collect(client.batches.list({ limit: 2 }))).map((batch) => batch.id);
      assert.equal(new Set(listed).size, listed.length);
      const ids = batches.map((batch) => batch.id);
      assert.deepEqual(listed.filter((id) => ids.includes(id)), ids);
      const seen = (await collect(client.files.list({ limit: 2, purpose: 'batch' }))).map((file) => file.id);
      assert.equal(new Set(seen).size, seen.length);
      const fileIds = files.map((file) => file.id);
      assert.deepEqual(seen.filter((id) => fileIds.includes(id)), fileIds);
      for (const { id } of batches) await ended(client, id);
    });

    test('a batch that runs is cancelled; one that has ended is a conflict, asked once', async () => {
      const long = await create(client, await upload(client, lines(5_000)));
      assert.match((await client.batches.cancel(long.id)).status, /^cancell(ing|ed)$/);
      assert.equal((await ended(client, long.id)).status, 'cancelled');
      const short = await create(client, await upload(client, lines(1)));
      await ended(client, short.id);
      const calls = paths.length;
      const error = await failure(client.batches.cancel(short.id), OpenAI.ConflictError);
      assert.equal(error.status, 409);
      assert.equal(error.code, family.codes.conflict);
      assert.match(error.message, /Cannot cancel a batch with status 'completed'/);
      assert.equal(paths.length, calls + 1, 'the server said that trying again is of no use');
    });

    test('a batch with a bad line says which', async () => {
      const batch = await ended(client, (await create(client, await upload(client, lines(1) + '{broken\n'))).id);
      assert.equal(batch.status, 'failed');
      const [error] = batch.errors.data;
      assert.deepEqual([error.code, error.line, error.param], ['invalid_json_line', 2, null]);
    });

    test('errors have status, code, param and requestID', async () => {
      const unknown = await failure(client.batches.retrieve('batch_that_never_was'), OpenAI.NotFoundError);
      assert.deepEqual([unknown.status, unknown.code], [404, family.codes.notFound]);
      const missing = await failure(
        client.batches.create({ input_file_id: 'file-1', completion_window: '24h' }),
        OpenAI.BadRequestError,
      );
      assert.deepEqual([missing.status, missing.code, missing.param], [400, family.codes.missing, 'endpoint']);
      const purpose = await failure(
        client.files.create({ file: await toFile(Buffer.from('{}'), 'in.jsonl'), purpose: 'amusement' }),
        OpenAI.BadRequestError,
      );
      assert.deepEqual([purpose.status, purpose.param], [400, 'purpose']);
      const stranger = family.connect({ apiKey: 'wrong' });
      const refused = await failure(stranger.batches.list(), OpenAI.AuthenticationError);
      assert.deepEqual([refused.status, refused.code], [401, family.codes.key]);
    });

    test('an answer names its request', async () => {
      const { data, response, request_id: id } = await client.files.list({ limit: 1 }).withResponse();
      assert.ok(data.data.length <= 1);
      assert.equal(id, response.headers.get('apim-request-id'));
    });

    test('models are the deployments', async () => {
      const names = (await collect(client.models.list())).map((model) => model.id);
      assert.deepEqual(names.sort(), [deployment, slashed]);
      for (const name of names) assert.equal((await client.models.retrieve(name)).id, name);
    });

    test('an upload in parts becomes one file; a cancelled one does not', async () => {
      const text = lines(50, 'tide '.repeat(50));
      const bytes = Buffer.from(text);
      const order = { filename: 'parts.jsonl', purpose: 'batch', mime_type: 'application/jsonl', bytes: bytes.length };
      const begun = await client.uploads.create(order);
      assert.deepEqual([begun.object, begun.status, begun.bytes], ['upload', 'pending', bytes.length]);
      // Sent in the wrong order: `part_ids` says the right one.
      const half = bytes.length >> 1;
      const last = await client.uploads.parts.create(begun.id, { data: await toFile(bytes.subarray(half), 'part') });
      const first = await client.uploads.parts.create(begun.id, { data: await toFile(bytes.subarray(0, half), 'part') });
      assert.deepEqual([first.object, first.upload_id], ['upload.part', begun.id]);
      const done = await client.uploads.complete(begun.id, { part_ids: [first.id, last.id] });
      assert.deepEqual([done.status, done.file.filename, done.file.purpose], ['completed', 'parts.jsonl', 'batch']);
      assert.equal(await (await client.files.content(done.file.id)).text(), text);
      assert.equal((await ended(client, (await create(client, done.file)).id)).status, 'completed');

      const given = await client.uploads.create(order);
      assert.equal((await client.uploads.cancel(given.id)).status, 'cancelled');
      const late = client.uploads.parts.create(given.id, { data: await toFile(bytes, 'part') });
      await failure(late, OpenAI.BadRequestError);
    });
  });
}

test('the token of a directory is a bearer token, and a key of the server is one', async () => {
  const client = new AzureOpenAI({ ...azureOptions, azureADTokenProvider: async () => key });
  assert.equal((await upload(client, lines(1))).status, 'processed');
  const stranger = new AzureOpenAI({ ...azureOptions, azureADTokenProvider: async () => 'something else' });
  await failure(stranger.batches.list(), OpenAI.AuthenticationError);
});
