// An ES module by its name, found by the start script.
import http from 'http';

http.createServer((req, res) => res.end('mjs\n')).listen(3000);
