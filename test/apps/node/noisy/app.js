// Writes a lot to both outputs before and after it listens, also by the outputs' names.
const fs = require('fs');

for (let i = 0; i < 50; i++) console.log(`boot out ${i}`);
fs.writeFileSync('/dev/stderr', 'by name\n');
require('http').createServer((req, res) => {
	console.log(`out for ${req.url}`);
	console.error(`err for ${req.url}`);
	process.stdout.write('without an end of line');
	res.end('noisy\n');
}).listen(3000, () => console.error('listening'));
