// Makes a server and forgets to let it listen, as a file does that another one loads.
module.exports = require('http').createServer((req, res) => res.end('never\n'));
