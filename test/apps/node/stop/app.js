// Ends in the way that HOW names, and says so.  Answers after ?ms=N, and not before the file ?gate=FILE is there.
const fs = require('fs');
const server = require('http').createServer((req, res) => {
	const gate = /gate=(.+)/.exec(req.url)?.[1];
	const end = Date.now() + 60000;
	const answer = () => gate && !fs.existsSync(gate) && Date.now() < end ? setTimeout(answer, 10) : res.end('done\n');
	setTimeout(answer, Number(/ms=(\d+)/.exec(req.url)?.[1] ?? 0));
}).listen(3000);
const goodbye = how => setTimeout(() => {
	console.log(`goodbye by ${how}`);
	server.close(error => {
		console.log(`closed ${error ? error.message : 'well'}`);
		process.exit(0);
	});
}, 100);
const ways = {
	sigterm: () => process.on('SIGTERM', () => goodbye('SIGTERM')),
	event: () => PhusionPassenger.on('exit', () => goodbye('exit')),
	message: () => process.on('message', text => goodbye(text)),
	close: () => setTimeout(() => server.close(() => console.log('closed itself')), 1000),
	ignore: () => process.on('SIGTERM', () => console.log('not I')),
};
ways[process.env.HOW]?.();
process.on('exit', status => console.log(`exit ${status}`));
