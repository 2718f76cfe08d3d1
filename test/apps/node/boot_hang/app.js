// Never gets as far as listening, and never ends.
setInterval(() => {}, 1000);
