<?php
// The same for PHP.
header('Content-Type: text/plain');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
printf("%d %s %s %d\n", getmypid(), $_SERVER['REQUEST_METHOD'], $path, strlen(file_get_contents('php://input')));
