// Throws before it listens, after an await.
await new Promise(resolve => setTimeout(resolve, 20));
throw new TypeError('no database today');
