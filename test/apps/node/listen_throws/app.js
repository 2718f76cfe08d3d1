// Its own callback for the listening server throws.
require('http').createServer(() => {}).listen(3000, () => {
	throw new Error('thrown while listening');
});
