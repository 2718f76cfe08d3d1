// Found by package.json's "main", without its extension.
require('http').createServer((req, res) => res.end(`${require.main === module}\n`)).listen(3000);
