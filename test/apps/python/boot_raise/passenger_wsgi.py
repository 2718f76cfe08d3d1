# Can not be loaded: raises.
raise RuntimeError("this application can not be loaded")
