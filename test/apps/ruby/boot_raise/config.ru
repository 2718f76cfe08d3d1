# Can't be loaded: raises.
raise "this application can't be loaded"
