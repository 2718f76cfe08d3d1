// Exits before it listens.
console.log('giving up');
process.exit(3);
