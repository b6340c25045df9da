"""The ports of `shared.ports` fulfilled over the wire, one file for each outside API. A client is imported and made when it is first needed."""
