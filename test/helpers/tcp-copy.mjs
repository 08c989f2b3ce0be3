// Copies bytes both ways over one TCP connection and prints what it sent and got, as SHA-256.
// tcp-copy.mjs serve ADDRESS PORT BYTES | tcp-copy.mjs connect ADDRESS PORT BYTES
import { createHash } from 'node:crypto';
import net from 'node:net';

const [mode, address, port, bytes] = process.argv.slice(2);

function* chunks() {
  // A counter run through a multiplication: different everywhere, the same in every run.
  for (let left = Number(bytes), seed = mode === 'serve' ? 1 : 2; left > 0; ) {
    const chunk = Buffer.alloc(Math.min(left, 65_536));
    for (let i = 0; i < chunk.length; i++) chunk[i] = (seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 16;
    left -= chunk.length;
    yield chunk;
  }
}

function copy(socket) {
  const sent = createHash('sha256');
  const got = createHash('sha256');
  socket.on('data', (chunk) => got.update(chunk));
  socket.on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  socket.on('close', () => {
    process.stdout.write(`${JSON.stringify({ sent: sent.digest('hex'), got: got.digest('hex') })}\n`);
    process.exit(0);
  });
  const parts = chunks();
  const next = () => {
    for (;;) {
      const { value, done } = parts.next();
      if (done) return socket.end();
      sent.update(value);
      if (!socket.write(value)) return socket.once('drain', next);
    }
  };
  next();
}

if (mode === 'serve') {
  const server = net.createServer({ allowHalfOpen: true }, copy);
  server.listen(Number(port), address, () => process.stdout.write('listening\n'));
} else {
  copy(net.connect({ host: address, port: Number(port), allowHalfOpen: true }));
}
