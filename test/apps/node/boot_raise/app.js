// Throws before it listens.
throw new TypeError('no database today');
