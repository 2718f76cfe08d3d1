// Its server is none that can be put on our socket.
require('https').createServer(() => {}).listen(0, '127.0.0.1', () => console.log('https listens'));
