# Never finishes loading.
sleep
