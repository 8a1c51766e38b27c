"""The local cloud: Sealift's own stack on one machine, with moto in the place of AWS. See README.md here."""
