// Looks with a server of its own whether a port is free, as some tools do.
const http = require('http');
const probe = http.createServer();
probe.listen(3000, () => probe.close(() => http.createServer(() => {}).listen(3000)));
