// An ES module with a top-level await; named imports of what the loader has patched.
import cluster, { fork } from 'node:cluster';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers/promises';

const greeting = await setTimeout(20, 'hello from a module');
let refusal;
try {
	fork();
} catch (error) {
	refusal = error.message;
}

createServer((req, res) => {
	res.setHeader('Content-Type', 'application/json');
	res.end(JSON.stringify({ greeting, refusal, same: cluster.fork === fork, url: import.meta.url, argv: process.argv,
		main: process.mainModule === undefined }));
}).listen(3000);
