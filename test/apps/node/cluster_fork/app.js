// Forks without asking.
require('node:cluster').fork();
