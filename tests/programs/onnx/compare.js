// node compare.js MODEL REFERENCE [OPTIMIZATION]: runs an ONNX network on the pictures of a file of onnx_reference and
// prints one JSON object: the largest difference of the logits from those in the file, and how often both name the same
// class. OPTIMIZATION is ONNX Runtime's graphOptimizationLevel, "all" by default.
'use strict';
const fs = require('fs');
const ort = require('onnxruntime-node');

/** The float tensors of a safetensors file, by name. */
function readSafetensors(path) {
  const file = fs.readFileSync(path);
  const data = 8 + Number(file.readBigUInt64LE(0));
  const tensors = {};
  const { __metadata__, ...header } = JSON.parse(file.toString('utf8', 8, data));
  for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(header)) {
    if (dtype !== 'F32') throw new Error(`${path}: tensor '${name}' is ${dtype}, expected is F32`);
    const bytes = new Uint8Array(file.subarray(data + begin, data + end));  // the copy is aligned
    tensors[name] = { shape, values: new Float32Array(bytes.buffer) };
  }
  return tensors;
}

const argmax = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

async function main(modelPath, referencePath, optimization = 'all') {
  const { images, logits: expected } = readSafetensors(referencePath);
  const [count, ...dims] = images.shape;
  const pixels = dims.reduce((product, dim) => product * dim);
  const classes = expected.shape[1];
  const options = { intraOpNumThreads: 1, graphOptimizationLevel: optimization };
  const session = await ort.InferenceSession.create(modelPath, options);

  let difference = 0, largest = 0, agreeing = 0;
  for (let first = 0, size; first < count; first += size) {
    size = Math.min(first === 0 ? 1 : 100, count - first);  // the network must take any batch size
    const batch = images.values.subarray(first * pixels, (first + size) * pixels);
    const feeds = { images: new ort.Tensor('float32', batch, [size, ...dims]) };
    const { logits } = await session.run(feeds);
    for (let i = 0; i < size; ++i) {
      const ours = expected.values.subarray((first + i) * classes, (first + i + 1) * classes);
      const theirs = logits.data.subarray(i * classes, (i + 1) * classes);
      for (let c = 0; c < classes; ++c) {
        difference = Math.max(difference, Math.abs(ours[c] - theirs[c]));
        largest = Math.max(largest, Math.abs(ours[c]));
      }
      agreeing += argmax(ours) === argmax(theirs);
    }
  }
  console.log(
    JSON.stringify({ model: modelPath, optimization, images: count, difference, largest, agreement: agreeing / count }),
  );
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
