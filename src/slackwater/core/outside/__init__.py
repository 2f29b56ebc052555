"""The world outside the house: which URLs and addresses may be called on behalf of a user."""
