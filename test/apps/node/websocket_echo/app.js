// A WebSocket server (RFC 6455) by hand: every frame from the client comes back with its opcode; "end" ends it.
const { createHash } = require('crypto');

function frame(opcode, payload) {
	const short = payload.length < 126;
	const head = Buffer.alloc(short ? 2 : 4);
	head[0] = 0x80 | opcode;
	head[1] = short ? payload.length : 126;
	if (!short) head.writeUInt16BE(payload.length, 2);
	return Buffer.concat([head, payload]);
}

// The first frame in data as [opcode, payload, rest], or nothing when it is not complete.
function parse(data) {
	if (data.length < 6) return undefined;
	const short = (data[1] & 127) < 126;
	const at = short ? 2 : 4;
	const length = short ? data[1] & 127 : data.readUInt16BE(2);
	if (data.length < at + 4 + length) return undefined;
	const payload = Buffer.from(data.subarray(at + 4, at + 4 + length));
	for (let i = 0; i < length; i++) payload[i] ^= data[at + (i & 3)];
	return [data[0] & 15, payload, data.subarray(at + 4 + length)];
}

const server = require('http').createServer((req, res) => res.end(`plain ${process.pid}\n`));
server.on('upgrade', (req, socket, rest) => {
	const accept = createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11');
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
		`Sec-WebSocket-Accept: ${accept.digest('base64')}\r\nX-Pid: ${process.pid}\r\n\r\n`);
	socket.on('data', data => {
		rest = Buffer.concat([rest, data]);
		for (let parsed; (parsed = parse(rest));) {
			rest = parsed[2];
			socket.write(frame(parsed[0], parsed[1]));
			if (String(parsed[1]) === 'end') socket.end();
		}
	});
	// Node keeps the other half open until it is told.
	socket.on('end', () => socket.end());
	socket.on('error', () => {});
});
server.listen(3000);
