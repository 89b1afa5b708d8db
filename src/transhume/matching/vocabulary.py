"""Words that mean the same in names of tables and columns: short forms, and groups of near synonyms.

No list here was made for, or tuned to, one schema; each group says where it comes from. A new field of work gets a
group with its public source. How words are compared is not decided here.
"""

_SHORT_FORMS = """
    acct=account addr=address algo=algorithm alg=algorithm alt=alternate amt=amount app=application
    appt=appointment approx=approximate attr=attribute auth=authentication avg=average bal=balance bday=birthday
    bldg=building calc=calculated cat=category cd=code cfg=configuration chg=changed cmt=comment cnt=count
    coef=coefficient col=column conf=configuration config=configuration coord=coordinate corp=corporation
    cre=created crt=created ctry=country ctr=center cust=customer db=database del=deleted dept=department
    desc=description descr=description dest=destination dev=device diff=difference dim=dimension dir=directory
    disc=discount dist=distance div=division doc=document dst=destination dt=date dtm=datetime dur=duration
    emp=employee env=environment err=error est=estimated exec=execution exp=expiry expt=experiment ext=extension
    fac=facility fin=finish freq=frequency gen=generation geo=geography grp=group hdr=header hist=history
    hosp=hospital hr=hour hyperparam=hyperparameter img=image ind=indicator ins=inserted inst=institution
    inv=invoice lang=language lat=latitude len=length lib=library lim=limit lng=longitude loc=location
    lon=longitude max=maximum med=medication mem=memory mfr=manufacturer mgr=manager min=minimum mod=modified
    mon=month msg=message mth=month mult=multiplier nat=national nbr=number no=number nr=number num=number
    obj=object obs=observation occ=occurrence op=operation opt=option ord=order org=organization orig=original
    param=parameter pat=patient pct=percent perf=performance perm=permission pers=person pic=picture pkg=package
    pmt=payment pos=position prd=product pref=preference prev=previous pri=priority proc=procedure prod=product
    prof=profile proj=project prop=property prov=provider pwd=password qty=quantity qtr=quarter rcv=received
    rec=record ref=reference reg=registered rel=relation req=request resp=response rev=revision sec=second
    seq=sequence sess=session sig=signature spec=specification src=source stat=status std=standard sts=status
    subj=subject svc=service sys=system tel=telephone temp=temperature tgt=target tm=time tot=total
    trans=transaction trx=transaction ts=timestamp txn=transaction txt=text typ=type upd=updated usr=user
    val=value var=variable ver=version vol=volume wgt=weight wt=weight yr=year
"""
ABBREVIATIONS: dict[str, str] = dict(pair.split("=") for pair in _SHORT_FORMS.split())
"""Short forms that are in general use in database names (the usual entries of naming standards), to the full word."""

_GROUPS: tuple[tuple[str, str], ...] = (
    # identifiers: SQL's and every ORM's own words for the same thing
    ("id uuid guid key identifier pk oid", "key columns of relational databases"),
    ("code identifier number", "ISO/IEC 11179-5, representation terms"),
    ("quantity count amount number total", "ISO/IEC 11179-5, representation terms"),
    ("name title label caption", "ISO/IEC 11179-5, representation terms; Dublin Core title"),
    ("type kind category class", "Dublin Core type; ISO/IEC 11179-5"),
    ("status state condition phase", "RFC 5545 STATUS; UML states"),
    ("date datetime timestamp time at on day", "SQL date types and their usual suffixes"),
    ("text body content message", "MIME and HTML words for what is written"),
    # Dublin Core metadata terms, https://www.dublincore.org/specifications/dublin-core/dcmi-terms/
    ("creator author originator writer contributor", "Dublin Core creator"),
    ("description abstract summary note comment remark annotation", "Dublin Core description; RFC 5545 COMMENT"),
    ("subject title summary headline topic", "Dublin Core subject; RFC 5545 SUMMARY; RFC 5322 Subject"),
    ("created issued submitted added inserted registered", "Dublin Core created, issued, dateSubmitted"),
    ("modified updated changed edited revised last", "Dublin Core modified; RFC 5545 LAST-MODIFIED"),
    ("language locale", "Dublin Core language"),
    ("publisher vendor", "Dublin Core publisher"),
    ("format extension mimetype", "Dublin Core format"),
    ("version revision release", "Dublin Core isVersionOf"),
    ("part component module", "Dublin Core isPartOf"),
    # iCalendar, RFC 5545
    ("start begin from since open opened", "RFC 5545 DTSTART"),
    ("end stop finish ended finished until through close closed", "RFC 5545 DTEND"),
    ("completed finished done resolved closed", "RFC 5545 COMPLETED"),
    ("due deadline effective expiry", "RFC 5545 DUE"),
    ("owner assignee assigned responsible organizer", "RFC 5545 ORGANIZER, ATTENDEE"),
    ("reporter author submitter requester creator", "OSLC Change Management: who made a change request"),
    ("category tag keyword label", "RFC 5545 CATEGORIES"),
    ("location place site", "RFC 5545 LOCATION"),
    ("duration length elapsed", "RFC 5545 DURATION"),
    ("attachment file document", "RFC 5545 ATTACH"),
    ("event activity action", "RFC 5545 VEVENT"),
    # vCard, RFC 6350, and LDAP's user schema, RFC 4519
    ("phone telephone mobile", "RFC 6350 TEL"),
    ("email mail", "RFC 6350 EMAIL"),
    ("organization company employer institution", "RFC 6350 ORG"),
    ("gender sex", "RFC 6350 GENDER"),
    ("birth birthday born", "RFC 6350 BDAY"),
    ("url uri link href path file address", "RFC 3986; RFC 6350 URL"),
    ("photo image picture", "RFC 6350 PHOTO"),
    ("postcode zip postal", "RFC 6350 ADR"),
    ("state province region", "RFC 6350 ADR"),
    ("city town locality", "RFC 6350 ADR"),
    ("first given forename", "RFC 4519 givenName"),
    ("last family surname", "RFC 4519 sn"),
    ("user login account username uid sid", "RFC 4519 uid"),
    ("user person member", "RFC 4519 person"),
    ("password passphrase secret", "RFC 4519 userPassword"),
    # schema.org and the Universal Business Language (ISO/IEC 19845)
    ("price cost amount charge", "schema.org price"),
    ("customer client buyer", "UBL BuyerCustomerParty"),
    ("supplier vendor seller provider", "UBL SellerSupplierParty"),
    ("product item article goods", "UBL Item"),
    ("order purchase", "UBL Order"),
    ("invoice bill", "UBL Invoice"),
    ("employee staff worker", "schema.org employee"),
    ("value score result metric measure measurement", "ISO/IEC/IEEE 15939, words of measurement"),
    ("size dimension extent", "ISO/IEC/IEEE 15939; schema.org size"),
    ("property attribute field parameter column", "schema.org PropertyValue"),
    ("old previous former before", "change records: what was before"),
    ("new current after", "change records: what is now"),
    ("parent group", "trees"),
    ("percent percentage rate ratio share", "ISO/IEC 11179-5, representation terms"),
    ("flag indicator boolean", "ISO/IEC 11179-5, representation terms"),
    # change management, https://docs.oasis-open-projects.org/oslc-op/cm/v3.0/
    ("ticket issue bug defect request task", "OSLC Change Management, kinds of change requests"),
    ("change journal history log audit", "OSLC Change Management; audit trails"),
    # machine learning, ML Schema of the W3C community group
    ("run job execution", "W3C ML Schema, Run"),
    ("metric performance evaluation", "W3C ML Schema, ModelEvaluation"),
    ("experiment study trial", "W3C ML Schema, Experiment"),
    # health care: the aliases that the resources of HL7 FHIR R4 name themselves, https://hl7.org/fhir/R4/
    ("patient person client subject", "HL7 FHIR Patient"),
    ("encounter visit", "HL7 FHIR Encounter"),
    ("condition problem diagnosis", "HL7 FHIR Condition"),
    ("medication drug prescription", "HL7 FHIR Medication"),
    ("immunization vaccination vaccine", "HL7 FHIR Immunization"),
    ("practitioner provider physician clinician", "HL7 FHIR Practitioner"),
    ("observation measurement finding", "HL7 FHIR Observation"),
    ("specimen sample", "HL7 FHIR Specimen"),
    ("death deceased", "HL7 FHIR Patient.deceased"),
    ("code concept", "HL7 FHIR CodeableConcept"),
    ("payer insurer", "HL7 FHIR Coverage"),
)

SYNONYMS: dict[str, frozenset[int]] = {}
"""Word to the numbers of its groups; two words of one group may stand for each other."""
for _number, (_words, _origin) in enumerate(_GROUPS):
    for _word in _words.split():
        SYNONYMS[_word] = SYNONYMS.get(_word, frozenset()) | {_number}

IDENTIFYING = frozenset({"id", "uuid", "guid", "key", "identifier", "pk", "fk", "oid", "code", "number", "reference"})
"""Words that say that a column identifies something, and not what."""

_PIECES = """
    active actual added age agent alias amount animal approved archive archived area art assigned auto back bank
    base begin birth block board body book branch build business cache call card case cause change channel chart
    check child city class clear client close cost count cover create created credit current custom customer
    data date day death debit default delete deleted delivery depth detail device discharge display draft drive
    drop due edit effective email end entry equipment error event exit expire factor failed family fax feature
    field file filter final first flag flow folder font foot force form found full given good grade gross group
    guest half hand hard head health height high hit home host hour house icon image index initial inner input
    insert internal issue item job join key kind label land language last late level life light line link list
    load local lock log login long low mail main manual map mark marital master match member memory menu message
    meta method middle mobile mode model modified month mother move name native net new next node note number
    object office offset old open order outer output owner page panel parent part party pass password path pay
    payment peer phone photo place plan play point policy pool port post power price primary print priority
    process product profile project public quantity query quick race range rank rate raw read record ref region
    release remote rent report request result return right role room root route row rule run sale sample save
    scan school score screen second section security select send sequence serial server service set shape ship
    short side sign single site size sort source speed staff stage start state status step stock stop storage
    store street string sub subject sum support system table tag target task tax team template term test text
    thread ticket time title token tool total track trade transaction tree type under unit update updated upload
    url user valid value vendor version video view visible visit volume wait web week weight width wiki window
    word work worker write year zip zone
"""
JOINED = frozenset(_PIECES.split())
"""Plain English words that lower-case names run together, as in `birthdate`."""
