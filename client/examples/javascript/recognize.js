// SPDX-License-Identifier: Apache-2.0
// Streams a WAV file to ese-server and prints each recognised unit after its time in seconds.
//
//   npm ci
//   node recognize.js HOST:PORT FILE.wav [MODEL]
//
// proto/ese/v1/speech.proto describes the protocol. proto-loader reads it when the program starts.
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const CHUNK_BYTES = 3200; // 100 ms at 16 kHz
const DEADLINE_SECONDS = 60; // for the whole call; a live stream would set none

const definition = protoLoader.loadSync('ese/v1/speech.proto', {
  includeDirs: [fileURLToPath(new URL('../../../proto', import.meta.url))],
  defaults: true,
  longs: Number,
});
const { SpeechInference } = grpc.loadPackageDefinition(definition).ese.v1;

// Returns the rate and the samples of a WAV file. After its first 12 bytes, the file is a sequence
// of blocks, each with a name and a size.
function parseWav(file, path) {
  let format;
  for (let at = 12; at + 8 <= file.length; ) {
    const name = file.toString('latin1', at, at + 4);
    const size = file.readUInt32LE(at + 4);
    const block = file.subarray(at + 8, at + 8 + size);
    if (name === 'fmt ') format = block;
    if (name === 'data') {
      if (!isMono16(format)) break;
      return { rate: format.readUInt32LE(4), samples: block };
    }
    at += 8 + size + (size % 2);
  }
  throw new Error(`${path}: not a mono 16-bit WAV file; convert it first`);
}

// PCM, one channel, 16 bits a sample.
function isMono16(format) {
  return format?.length >= 16 && format.readUInt16LE(0) === 1 && format.readUInt16LE(2) === 1 &&
    format.readUInt16LE(14) === 16;
}

// Yields the config, then the audio in chunks.
function* requests({ rate, samples }, model) {
  yield { config: { model, audio: { sampleRateHz: rate }, returnUnits: true } };
  for (let at = 0; at < samples.length; at += CHUNK_BYTES) {
    yield { chunk: samples.subarray(at, at + CHUNK_BYTES) };
  }
}

async function printUnits(call) {
  let final = false;
  for await (const response of call) {
    for (const unit of response.units) {
      console.log(`${unit.startSeconds.toFixed(3)} ${unit.symbol}`);
    }
    final = response.isFinal;
  }
  if (!final) throw new Error('the call ended without a final response');
}

async function recognize(server, path, model) {
  const audio = parseWav(await readFile(path), path);
  const client = new SpeechInference(server, grpc.credentials.createInsecure());
  try {
    const deadline = Date.now() + 1000 * DEADLINE_SECONDS;
    const call = client.StreamingInfer({ deadline });
    // The pipeline takes a request when gRPC can send it, and half-closes the call after the last.
    const sending = pipeline(Readable.from(requests(audio, model)), call);
    await Promise.all([sending, printUnits(call)]);
  } finally {
    client.close();
  }
}

function describe(error) {
  if (!(error.code in grpc.status)) return error.message;
  const [retryAfter] = error.metadata.get('retry-after-ms');
  return `${grpc.status[error.code]}: ${error.details}` +
    (retryAfter ? ` (try again in ${retryAfter} ms)` : '');
}

const [server, path, model = '', ...rest] = process.argv.slice(2);
if (path === undefined || rest.length > 0) {
  console.error('usage: node recognize.js HOST:PORT FILE.wav [MODEL]');
  process.exit(2);
}
try {
  await recognize(server, path, model);
} catch (error) {
  console.error(`recognize.js: ${describe(error)}`);
  process.exitCode = 1;
}
