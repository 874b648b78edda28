"""Request and response bodies as users read them: the OpenAPI document is made from these. Words and limits are api.md's."""
