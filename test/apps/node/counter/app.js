// Counts its requests.
let count = 0;

require('http').createServer((req, res) => res.end(`${++count}\n`)).listen(3000);
