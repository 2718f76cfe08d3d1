// Answers its pid.
require('http').createServer((req, res) => res.end(`${process.pid}\n`)).listen(0);
