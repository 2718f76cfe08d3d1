// Ends in the way that HOW names, and says so.
const server = require('http').createServer((req, res) => {
	setTimeout(() => res.end('done\n'), Number(/ms=(\d+)/.exec(req.url)?.[1] ?? 0));
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
