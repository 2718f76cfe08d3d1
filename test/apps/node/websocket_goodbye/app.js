// Short websocket text frames come back; at SIGTERM every client is told (1001), and the program waits for them to go.
const { createHash } = require('crypto');

const sockets = new Set();
const server = require('http').createServer((req, res) => res.end(`plain ${process.pid}\n`));
server.on('upgrade', (req, socket) => {
	const accept = createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11');
	socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
		`Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`);
	sockets.add(socket);
	socket.on('data', data => {
		for (; data.length; data = data.subarray(6 + (data[1] & 127))) {
			if ((data[0] & 15) !== 1) return socket.end();
			const text = data.subarray(6, 6 + (data[1] & 127)).map((byte, i) => byte ^ data[2 + (i & 3)]);
			socket.write(Buffer.concat([Buffer.from([129, text.length]), text]));
		}
	});
	socket.on('end', () => socket.end());
	socket.on('close', () => sockets.delete(socket));
	socket.on('error', () => {});
});
process.on('SIGTERM', () => {
	for (const socket of sockets) socket.write(Buffer.from([136, 2, 3, 233]));
	server.close(() => process.exit());
});
server.listen(Number(process.env.PORT) || 3000, '127.0.0.1');
