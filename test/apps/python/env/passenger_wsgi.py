# Answers the environ as JSON: strings and booleans as they are, of the rest the type's name.
import json


def application(environ, start_response):
    shown = {name: value if isinstance(value, (str, bool)) else type(value).__name__ for name, value in environ.items()}
    body = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [body]
