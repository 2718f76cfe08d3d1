// Answers what the application finds around itself, as JSON: variables, arguments, descriptors (its own and those
// that a child gets), and what its server says about its address.
const { execFileSync } = require('child_process');
const fs = require('fs');
const http = require('http');

const server = http.createServer((req, res) => {
	const list = 'for (const fd of fs.readdirSync("/proc/self/fd")) ' +
		'try { console.log(fd, fs.readlinkSync("/proc/self/fd/" + fd)) } catch {}';
	const child = execFileSync(process.execPath, ['-e', list], { stdio: ['inherit', 'pipe', 'inherit'] });
	res.setHeader('Content-Type', 'application/json');
	res.end(JSON.stringify({
		env: process.env,
		argv: process.argv,
		cwd: process.cwd(),
		title: process.title,
		main: require.main === module,
		address: server.address(),
		remote: [req.socket.remoteAddress, req.socket.remotePort],
		stdin: fs.readlinkSync('/proc/self/fd/0'),
		input: fs.readFileSync(0, 'latin1'),
		child: child.toString().trim().split('\n'),
		headers: req.headers,
		options: PhusionPassenger.options,
	}));
}).listen(process.env.PORT || 3000);
